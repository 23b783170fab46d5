"""Options of deraining, shared by every entrance."""

from dataclasses import dataclass
from typing import Any

from crdnet.errors import ArgumentError
from crdnet.images import FORMATS, MAX_PIXELS


@dataclass(frozen=True)
class DerainOptions:
    """Options of deraining an image, and of writing its file.

    Raises:
        ArgumentError: A value is out of its range.
    """

    strength: float = 1.0
    """Share of the rain to remove, 0 to 1."""
    always: bool = False
    """If True, derain an image that is surely dry too; if False, keep its pixels."""
    ensemble: bool = False
    """If True, average the outputs for the image and for its mirror image (left to right), which
    takes twice the time."""
    format: str | None = None
    """Format of the output: jpg, png, webp, tiff or avif. None follows the suffix of the output if
    it differs from that of the input, and else keeps the format of the input."""
    fallback_format: str | None = None
    """Format of the output for inputs in formats that are only read (GIF, BMP, PPM, HEIC); other
    inputs keep their format. None lets such inputs fail."""
    quality: int | None = None
    """Quality of lossy formats, 1 to 100; None keeps that of the input, such as the tables and
    subsampling of a JPEG."""
    strip_gps: bool = False
    """If True, remove the location from EXIF, XMP and IPTC. Maker notes, unknown blocks and data
    behind the image may hold it too and are removed whole. Captions and keywords stay."""
    max_pixels: int = MAX_PIXELS
    """Largest number of pixels, all frames together; the header of a larger image is refused before
    decoding."""

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:  # refuses not-a-number as well
            raise ArgumentError(f"`strength` must be from 0 to 1, got {self.strength}")
        for name in ("format", "fallback_format"):
            value = getattr(self, name)
            if value is not None and value not in FORMATS:
                raise ArgumentError(
                    f"there is no `{name}` {value!r}; use one of {', '.join(FORMATS)}"
                )
        if self.format is not None and self.fallback_format is not None:
            raise ArgumentError(
                "`format` sets the format of all outputs, `fallback_format` only of those that "
                "cannot keep theirs; give one of them"
            )
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ArgumentError(
                "`quality` must be from 1 to 100, or None to keep that of the file, got "
                f"{self.quality}"
            )
        if self.max_pixels < 1:
            raise ArgumentError(f"`max_pixels` must be at least 1, got {self.max_pixels}")

    def describe_output(self) -> dict[str, Any]:
        """Return the options that affect the pixels or format of outputs.

        The journal refuses to mix runs in which they differ.
        """
        return {
            "strength": self.strength,
            "always": self.always,
            "ensemble": self.ensemble,
            "format": self.format,
            "fallback-format": self.fallback_format,
            "quality": self.quality,
            "strip-gps": self.strip_gps,
        }
