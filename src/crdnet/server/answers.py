"""What clients may ask for and what they are answered, as data: the API document is made of it."""

from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from crdnet import SenseReport
from crdnet.server.work import Derained, Sensed, Stages

MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
}
_SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "TIFF": "tiff", "AVIF": "avif"}
RAIN_HEADERS = (
    "X-Rain-Density",
    "X-Rain-Score",
    "X-Rain-Probabilities",
    "X-Rain-Left-Alone",
    "X-Notes",
    "X-Request-ID",
    "Server-Timing",
)

Grade = Literal["none", "light", "medium", "heavy"]
Format = Literal["jpg", "png", "webp", "tiff", "avif"]


def _unasked(schema: dict[str, Any]) -> None:
    """Leave the default out of the API document: nothing is no value that one could send."""
    schema.pop("default", None)


class SenseWish(BaseModel):
    """What a client may ask of sensing."""

    model_config = ConfigDict(extra="forbid")

    model: str | SkipJsonSchema[None] = Field(
        None,
        description="One of those that GET /v1/models lists; unasked, the first.",
        json_schema_extra=_unasked,
    )


class DerainWish(SenseWish):
    """What a client may ask of deraining."""

    strength: float = Field(
        1.0, ge=0, le=1, allow_inf_nan=False, description="How much of the rain to take out."
    )
    format: Format | SkipJsonSchema[None] = Field(
        None,
        description="Format of the answer; unasked, that of the picture.",
        json_schema_extra=_unasked,
    )
    always: bool = Field(False, description="Whether a picture that is surely dry is derained too.")


class Probabilities(BaseModel):
    """How likely each grade is; they sum to 1."""

    none: float
    light: float
    medium: float
    heavy: float


class SenseAnswer(BaseModel):
    """How heavy the rain in a picture is; null where the model does not sense rain."""

    density: Grade | None
    probabilities: Probabilities | None
    score: float | None = Field(description="A monotone map of the strength to [0, 1].")
    strength: float | None = Field(
        description="Mean change of luma that the rain makes, in grey levels of 255."
    )
    scale: float | None = Field(
        description="The size at which the rain was found, 1 for the picture's own."
    )
    width: int = Field(description="Pixels as they are stored.")
    height: int
    format: str
    model: str


class ModelAnswer(BaseModel):
    """A model that clients may ask for."""

    name: str
    aliases: list[str]
    summary: str
    parameters: int | None
    sha256: str | None
    default: bool


class Standing(BaseModel):
    """How the server is."""

    status: Literal["alive", "ready"]


def grade(report: SenseReport) -> str:
    """Return the name of the rain's grade, `unknown` where the model does not sense rain."""
    return "unknown" if report.density is None else report.density.name.lower()


def _named(report: SenseReport) -> dict[str, float] | None:
    found = report.probabilities
    return None if found is None else {grade.name.lower(): value for grade, value in found.items()}


def rain_headers(derained: Derained) -> dict[str, str]:
    """Return the headers that stand beside a derained picture."""
    headers = {
        "X-Rain-Density": grade(derained.sensed),
        "X-Rain-Left-Alone": "true" if derained.left_alone else "false",
        "Content-Disposition": f'attachment; filename="derained.{_SUFFIXES[derained.format]}"',
    }
    if derained.sensed.score is not None:
        headers["X-Rain-Score"] = f"{derained.sensed.score:.4f}"
    if (probabilities := _named(derained.sensed)) is not None:
        headers["X-Rain-Probabilities"] = ", ".join(
            f"{name}={value:.4f}" for name, value in probabilities.items()
        )
    if derained.notes:
        told = "; ".join(derained.notes)
        headers["X-Notes"] = "".join(letter if " " <= letter <= "~" else "?" for letter in told)
    return headers


def sense_answer(sensed: Sensed, model: str) -> SenseAnswer:
    """Return what is told of a picture that was sensed."""
    report = sensed.report
    probabilities = _named(report)
    return SenseAnswer(
        density=None if report.density is None else cast(Grade, grade(report)),
        probabilities=None if probabilities is None else Probabilities(**probabilities),
        score=report.score,
        strength=report.strength,
        scale=report.scale,
        width=sensed.looked.width,
        height=sensed.looked.height,
        format=sensed.looked.format,
        model=model,
    )


def timing(stages: Stages) -> dict[str, str]:
    """Return the header that tells how long each stage took, in milliseconds."""
    seconds = stages.seconds | {"total": sum(stages.seconds.values())}
    return {
        "Server-Timing": ", ".join(
            f"{name};dur={value * 1000:.1f}" for name, value in seconds.items()
        )
    }


_BINARY = {"type": "string", "format": "binary", "description": "The bytes of a picture file."}
PICTURE: dict[str, Any] = {
    "description": "The picture without its rain.",
    "content": {
        each: {"schema": {"type": "string", "format": "binary"}} for each in MEDIA_TYPES.values()
    },
    "headers": {
        "X-Rain-Density": {
            "description": "none, light, medium, heavy, or unknown where the model does not sense rain",
            "schema": {"type": "string", "enum": ["none", "light", "medium", "heavy", "unknown"]},
        },
        "X-Rain-Score": {
            "description": "Strength of the rain, 0 to 1",
            "schema": {"type": "number"},
        },
        "X-Rain-Probabilities": {
            "description": "How likely each grade is",
            "schema": {"type": "string"},
        },
        "X-Rain-Left-Alone": {
            "description": "Whether the picture was surely dry and is given back as it came",
            "schema": {"type": "string", "enum": ["true", "false"]},
        },
        "X-Notes": {"description": "What could not be carried over", "schema": {"type": "string"}},
        "Server-Timing": {
            "description": "Milliseconds of each stage",
            "schema": {"type": "string"},
        },
    },
}


def body_of(wish: type[BaseModel]) -> dict[str, Any]:
    """Return what the API document says of a body: a form with the wishes beside the file, or the file alone."""
    schema = wish.model_json_schema()
    form = {
        "type": "object",
        "properties": {"file": _BINARY} | schema["properties"],
        "required": ["file"],
        "additionalProperties": False,
    }
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": form},
                "application/octet-stream": {"schema": _BINARY},
            },
        }
    }
