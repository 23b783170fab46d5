"""Metadata of model files.

A model is one ONNX file with dynamic sides. Its graph takes `rainy`, float32 (batch, 3, height,
width), gamma-encoded RGB in [0, 1], and returns `derained` of the same shape, not clipped. A graph
that senses rain also returns `density`: the intensity in each cell of `size_multiple` x
`size_multiple` pixels, in grey levels of 255. The file's metadata holds everything else that a
caller needs, so that the file is self-contained.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from crdnet.errors import ModelError

FORMAT = "crdnet/1"
"""Value of the metadata key `format`; a file without it is not a crdnet model."""
OPSET = 18
"""ONNX opset version that `crdnet export` writes."""
INPUT_NAME = "rainy"
OUTPUT_NAME = "derained"
DENSITY_NAME = "density"
"""Second output of a model that senses rain: (batch, 1, height / size_multiple, width /
size_multiple), grey levels."""


@dataclass(frozen=True)
class ModelInfo:
    """Metadata of a model file."""

    name: str
    size_multiple: int
    """Height and width of the graph's input must be multiples of this."""
    margin: int
    """Pixels around a tile, aligned to `size_multiple`, that make its result equal to that of the
    whole image."""
    version: str
    training_data: str
    """Training data of the weights and its terms of use, in one sentence."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Measured quality, such as {"rain800/val restormer-y psnr": 23.1}."""
    task: str = "derain"
    colour: str = "rgb"

    def to_metadata(self) -> dict[str, str]:
        """Return the key-value strings to store in the file."""
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
    def from_metadata(cls, metadata: Mapping[str, str], source: str) -> "ModelInfo":
        """Read the key-value strings of a file.

        Args:
            metadata: Key-value strings as `to_metadata` returns them.
            source: Name of the file in error messages.

        Raises:
            ModelError: The file is not a crdnet model, or its metadata is damaged.
        """
        if metadata.get("format") != FORMAT:
            raise ModelError(
                f"{source} is an ONNX file but not a crdnet model: "
                f"its metadata has no format {FORMAT!r}; make one with `crdnet export`"
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
        if info.task != "derain" or info.colour != "rgb":
            raise ModelError(
                f"{source} is for task {info.task!r} on {info.colour!r} images; "
                "this version runs 'derain' on 'rgb'"
            )
        return info


def opset_of(content: bytes) -> int | None:
    """Return the ONNX opset version of a model file, or None if the file does not state it."""
    for number, value in _fields(content):
        if number == 8 and isinstance(value, bytes):  # ModelProto.opset_import
            imported = dict(_fields(value))
            # The domain of ONNX's own operations is "".
            if not imported.get(1) and isinstance(version := imported.get(2), int):
                return version
    return None


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (number, value) of each field of a protobuf message; tolerate damaged messages."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while at < len(message):
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                break
        return value

    while at < len(message):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            yield number, varint()
            continue
        size = varint() if kind == 2 else {1: 8, 5: 4}.get(kind, len(message))
        yield number, message[at : at + size]
        at += size
