"""Schemas of requests and responses, from which the API document is generated."""

from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.json_schema import SkipJsonSchema

from crdnet import Outcome
from crdnet.server.negotiation import BYTES, MEDIA_TYPES, get_suffix
from crdnet.server.progress import State
from crdnet.server.work import Result, Stages

RAIN_HEADERS = (
    "X-Rain-Density",
    "X-Rain-Score",
    "X-Rain-Probabilities",
    "X-Rain-Left-Alone",
    "X-Notes",
    "X-Request-ID",
    "Retry-After",
    "Server-Timing",
)

Grade = Literal["none", "light", "medium", "heavy"]
Format = Literal["jpg", "png", "webp", "tiff", "avif"]
PROGRESS_PATTERN = "^[0-9A-Za-z-]{8,64}$"


def _drop_default(schema: dict[str, Any]) -> None:
    """Remove the default from the API document, because null cannot be sent as a parameter."""
    schema.pop("default", None)


class SenseParameters(BaseModel):
    """Parameters of sensing."""

    # Otherwise a misspelt parameter would be ignored silently.
    model_config = ConfigDict(extra="forbid")

    model: str | SkipJsonSchema[None] = Field(
        None,
        description="Name of a model that GET /v1/models lists; default: the first one.",
        json_schema_extra=_drop_default,
    )


class DerainParameters(SenseParameters):
    """Parameters of deraining."""

    strength: float = Field(
        1.0, ge=0, le=1, allow_inf_nan=False, description="Share of the rain to remove."
    )
    format: Format | SkipJsonSchema[None] = Field(
        None,
        description="Format of the response; default: that of Accept, else that of the image.",
        json_schema_extra=_drop_default,
    )
    quality: Annotated[int, Field(ge=1, le=100)] | SkipJsonSchema[None] = Field(
        None,
        description="Quality of a lossy format; default: that of the image.",
        json_schema_extra=_drop_default,
    )
    always: bool = Field(False, description="If true, derain dry images too.")
    progress: Annotated[str, Field(pattern=PROGRESS_PATTERN)] | SkipJsonSchema[None] = Field(
        None,
        description="A random identifier of your choice, for GET /v1/progress/{identifier}.",
        json_schema_extra=_drop_default,
    )

    @field_validator("format", mode="before")
    @classmethod
    def _name_format(cls, value: object) -> object:
        """Accept the alternative names of formats too."""
        return {"jpeg": "jpg", "tif": "tiff"}.get(value, value) if isinstance(value, str) else value


class Probabilities(BaseModel):
    """Probability of each grade; they sum to 1."""

    none: float
    light: float
    medium: float
    heavy: float


class SenseResponse(BaseModel):
    """Rain sensed in an image; null where the model does not sense rain."""

    density: Grade | None
    probabilities: Probabilities | None
    score: float | None = Field(description="S / (S + 10) for an intensity S; from 0 to 1.")
    intensity: float | None = Field(
        description="Mean change of luma that the rain makes, in grey levels of 255."
    )
    scale: float | None = Field(
        description="Scale at which the network saw the image; 1 is full size."
    )
    width: int = Field(description="Width of the upright image in pixels.")
    height: int
    format: str
    model: str


class ModelResponse(BaseModel):
    """A model that clients may ask for."""

    name: str
    aliases: list[str]
    summary: str
    parameters: int | None
    sha256: str | None
    default: bool


class ProgressResponse(BaseModel):
    """Progress of a request in flight."""

    state: State = Field(description="unknown: no request in progress has this identifier.")
    tiles_done: int
    tiles: int = Field(description="Number of tiles of the image; 0 until it is known.")


class Health(BaseModel):
    """State of the server."""

    status: Literal["alive", "ready"]


def name_density(outcome: Outcome) -> str:
    """Return the name of the density, `unknown` if the model does not sense rain."""
    return "unknown" if outcome.density is None else outcome.density.name.lower()


def _name_probabilities(outcome: Outcome) -> dict[str, float] | None:
    found = outcome.probabilities
    return None if found is None else {grade.name.lower(): value for grade, value in found.items()}


def make_rain_headers(derained: Result) -> dict[str, str]:
    """Return the headers of the response with a derained image."""
    outcome = derained.outcome
    headers = {
        "X-Rain-Density": name_density(outcome),
        "X-Rain-Left-Alone": "true" if outcome.left_alone else "false",
        "Content-Disposition": f'attachment; filename="derained.{get_suffix(derained.format)}"',
    }
    if outcome.score is not None:
        headers["X-Rain-Score"] = f"{outcome.score:.4f}"
    if (probabilities := _name_probabilities(outcome)) is not None:
        headers["X-Rain-Probabilities"] = ", ".join(
            f"{name}={value:.4f}" for name, value in probabilities.items()
        )
    # Warnings quote names from the file, but headers must be ASCII without line breaks.
    if outcome.warnings:
        told = "; ".join(outcome.warnings)
        headers["X-Notes"] = "".join(letter if " " <= letter <= "~" else "?" for letter in told)
    return headers


def make_sense_response(sensed: Result, model: str) -> SenseResponse:
    """Return the response about an image that was sensed."""
    outcome = sensed.outcome
    assert outcome.width is not None
    assert outcome.height is not None
    probabilities = _name_probabilities(outcome)
    return SenseResponse(
        density=None if outcome.density is None else cast(Grade, name_density(outcome)),
        probabilities=None if probabilities is None else Probabilities(**probabilities),
        score=outcome.score,
        intensity=outcome.intensity,
        scale=outcome.scale,
        width=outcome.width,
        height=outcome.height,
        format=sensed.header.format,
        model=model,
    )


def make_timing(stages: Stages) -> dict[str, str]:
    """Return the header with the duration of each stage, in milliseconds."""
    seconds = stages | {"total": sum(stages.values())}
    return {
        "Server-Timing": ", ".join(
            f"{name};dur={value * 1000:.1f}" for name, value in seconds.items()
        )
    }


_BINARY = {"type": "string", "format": "binary", "description": "The bytes of an image file."}
IMAGE: dict[str, Any] = {
    "description": "The image without its rain.",
    # Client generators take the first type that they know, which is not an image type.
    "content": {
        each: {"schema": {"type": "string", "format": "binary"}}
        for each in (BYTES, *MEDIA_TYPES.values())
    },
    "headers": {
        "X-Rain-Density": {
            "description": "unknown: the model does not sense rain",
            "schema": {"type": "string", "enum": ["none", "light", "medium", "heavy", "unknown"]},
        },
        "X-Rain-Score": {
            "description": "Intensity of the rain, 0 to 1",
            "schema": {"type": "number"},
        },
        "X-Rain-Probabilities": {
            "description": "How likely each grade is",
            "schema": {"type": "string"},
        },
        "X-Rain-Left-Alone": {
            "description": "Whether the image was surely dry and comes back byte for byte",
            "schema": {"type": "string", "enum": ["true", "false"]},
        },
        "X-Notes": {"description": "What could not be carried over", "schema": {"type": "string"}},
        "Server-Timing": {
            "description": "Milliseconds of each stage",
            "schema": {"type": "string"},
        },
    },
}


def describe_body(parameters: type[BaseModel]) -> dict[str, Any]:
    """Return the entry of the API document for a body: a form with parameters, or only the file."""
    schema = parameters.model_json_schema()
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
