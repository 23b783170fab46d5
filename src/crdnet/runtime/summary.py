"""Summary of a model file for users."""

from dataclasses import dataclass
from typing import Any

from crdnet.runtime.engines import read_info
from crdnet.runtime.model import ModelInfo
from crdnet.runtime.store import StoredModel


@dataclass(frozen=True)
class ModelSummary:
    """Description, training data and measured scores of a model.

    Attributes:
        model: Name, file and description.
        info: Metadata of the file.
        bytes: Size of the file.
    """

    model: StoredModel
    info: ModelInfo
    bytes: int

    @classmethod
    def read(cls, model: StoredModel) -> "ModelSummary":
        """Read the summary of a model.

        Raises:
            ModelError: The file cannot be read, or is damaged.
        """
        return cls(model, read_info(model), model.path.stat().st_size)

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        model, info = self.model, self.info
        return {
            "name": model.name,
            "aliases": list(model.aliases),
            "summary": model.summary,
            "bytes": self.bytes,
            "parameters": model.parameters,
            "version": info.version,
            "size_multiple": info.size_multiple,
            "margin": info.margin,
            "training_data": info.training_data,
            "scores": dict(info.scores),
            "sha256": model.sha256,
        }

    def as_text(self) -> str:
        """Return the summary as lines, with a line for each score."""
        model = self.model
        also = f" (also called {', '.join(model.aliases)})" if model.aliases else ""
        parameters = "" if model.parameters is None else f", {model.parameters:,} parameters"
        lines = [
            f"{model.name}{also}: {self.bytes / 1e6:.1f} MB{parameters}",
            f"    {model.summary}",
            f"    trained on: {self.info.training_data}",
            *(f"    {score}: {value:g}" for score, value in self.info.scores.items()),
        ]
        return "\n".join(lines)
