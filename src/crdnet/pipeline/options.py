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
    """Share of the rain to take out, 0 to 1."""
    always: bool = False
    """Whether an image that is surely dry is derained too; if not, its pixels stay as they are."""
    ensemble: bool = False
    """Whether the output is the mean of those for the image and for its mirror image (left to
    right), at twice the time."""
    format: str | None = None
    """One of jpg, png, webp, tiff, avif; None keeps that of the file, or follows the suffix of the
    output."""
    fallback_format: str | None = None
    """One of these, for images in formats that are only read (GIF, BMP, PPM, HEIC); all others keep
    theirs. None lets such images fail."""
    quality: int | None = None
    """1 to 100 for lossy formats; None keeps the file's own, such as the tables and subsampling of
    a JPEG."""
    strip_gps: bool = False
    """Whether to remove the location from EXIF, XMP and IPTC, and whole what may hold it otherwise:
    maker notes, unknown blocks, what lies behind the image. Captions and keywords stay."""
    max_pixels: int = MAX_PIXELS
    """Refuse images of more, all frames together, from their header."""

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:  # refuses not-a-number as well
            raise ArgumentError(
                f"`strength` is how much of the rain to take out, from 0 to 1, got {self.strength}"
            )
        for name in ("format", "fallback_format"):
            value = getattr(self, name)
            if value is not None and value not in FORMATS:
                raise ArgumentError(
                    f"there is no `{name}` {value!r}; use one of {', '.join(FORMATS)}"
                )
        if self.format is not None and self.fallback_format is not None:
            raise ArgumentError(
                "`format` gives all outputs one format and `fallback_format` only those that "
                "cannot keep theirs; give one of them"
            )
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ArgumentError(
                "`quality` is a number from 1 to 100, or None for the file's own, got "
                f"{self.quality}"
            )
        if self.max_pixels < 1:
            raise ArgumentError(f"`max_pixels` is at least 1, got {self.max_pixels}")

    def describe_output(self) -> dict[str, Any]:
        """Return the options that decide what an output looks like; runs that differ do not mix."""
        return {
            "strength": self.strength,
            "always": self.always,
            "ensemble": self.ensemble,
            "format": self.format,
            "fallback-format": self.fallback_format,
            "quality": self.quality,
            "strip-gps": self.strip_gps,
        }
