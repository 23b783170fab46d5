"""Metadata of a model file.

A model is one ONNX file with dynamic sides. Its graph takes `rainy`, float32 (batch, 3, height,
width), gamma-encoded RGB in [0, 1], and returns `derained` of the same shape, not clipped. A graph
that senses rain also returns `density`: the intensity of the rain in each cell of `size_multiple`
squared pixels, in grey levels of 255. A graph for frames of clips (task `fuse`) takes `images`
(batch, 21, height, width), the `FUSED_IMAGES` in RGB, and returns `fused` (batch, 3, height,
width). The metadata of the file holds everything else that a caller needs to run it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from crdnet.errors import ModelError

FORMAT = "crdnet/1"
"""Value of the metadata key `format`; a file without it is not a crdnet model."""
OPSET = 18
"""Version of ONNX's operations that `crdnet export` writes."""
INPUT_NAME = "rainy"
OUTPUT_NAME = "derained"
DENSITY_NAME = "density"
"""Second output of a model that senses rain: (batch, 1, height / size_multiple, width /
size_multiple), grey levels."""
IMAGES_NAME, FUSED_NAME = "images", "fused"
"""Input and output of a model for frames of clips."""
FUSED_IMAGES = ("fused", "derained", "rainy", "before", "before_rainy", "after", "after_rainy")
"""Input images of a model for frames, three channels each.

They are the fused frame, the derained and rainy frame, and the aligned neighbours, derained and
rainy."""


@dataclass(frozen=True)
class ModelInfo:
    """The metadata of a model file."""

    name: str
    size_multiple: int
    """Both sides of the input of the graph must be multiples of this, in pixels."""
    margin: int
    """Pixels around a tile, aligned to `size_multiple`, that make its result equal to that of the
    whole image."""
    version: str
    training_data: str
    """Training data of the weights and its terms, in a sentence."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Measured quality, such as {"rain800/val restormer-y psnr": 23.1}."""
    task: str = "derain"
    colour: str = "rgb"

    def to_metadata(self) -> dict[str, str]:
        """Return the metadata as the key-value strings of the file."""
        return {
            "format": FORMAT,
            "name": self.name,
            "task": self.task,
            "size_multiple": str(self.size_multiple),
            "margin": str(self.margin),
            "colour": self.colour,
            "version": self.version,
            "training_data": self.training_data,
            "scores": json.dumps(dict(self.scores), sort_keys=True),
        }

    @classmethod
    def from_metadata(
        cls, metadata: Mapping[str, str], source: str, task: str = "derain"
    ) -> "ModelInfo":
        """Return the metadata in the key-value strings of a file.

        Args:
            metadata: Key-value strings written by `to_metadata`.
            source: Name of the file, for messages.
            task: Task that the model must have.

        Raises:
            ModelError: The file is not a crdnet model, or its metadata is damaged.
        """
        if metadata.get("format") != FORMAT:
            raise ModelError(
                f"{source} is an ONNX file but not a crdnet model: its metadata has no format "
                f"{FORMAT!r}; make one with `crdnet export`"
            )
        try:
            info = cls(
                name=metadata["name"],
                size_multiple=int(metadata["size_multiple"]),
                margin=int(metadata["margin"]),
                version=metadata["version"],
                training_data=metadata["training_data"],
                scores=json.loads(metadata["scores"]),
                task=metadata["task"],
                colour=metadata["colour"],
            )
        except (KeyError, ValueError) as error:
            raise ModelError(
                f"the metadata of {source} is damaged ({error!r}); export the model again"
            ) from error
        if info.task != task or info.colour != "rgb":
            raise ModelError(
                f"{source} is for task {info.task!r} on {info.colour!r} images; here one for "
                f"{task!r} on 'rgb' is needed"
            )
        return info
