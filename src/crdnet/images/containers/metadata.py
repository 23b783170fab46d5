"""Metadata that every format can hold, as the bytes that the formats share."""

from dataclasses import dataclass
from mmap import mmap

from crdnet.images.containers.colour import ColourSpace

Content = bytes | bytearray | mmap
"""Content of a file: in memory, being edited, or mapped so that only accessed pages are loaded."""


@dataclass(frozen=True)
class Metadata:
    """Metadata that can be copied to a file of another format."""

    exif: bytes = b""
    """EXIF as a TIFF structure, without the `Exif` mark that some containers put before it."""
    xmp: bytes = b""
    icc: bytes = b""
    photoshop: bytes = b""
    """Photoshop's image resources, which hold the IPTC captions."""
    dpi: tuple[float, float] | None = None
    """Pixels per inch, horizontally and vertically."""
    colours: ColourSpace | None = None
    """Colour space that the file states by other means than `icc`; None for sRGB."""


@dataclass(frozen=True)
class FileMetadata:
    """Metadata of a file, for an output of the same or another format."""

    blocks: tuple[bytes, ...] = ()
    """Blocks to copy unchanged, in order, to a file of the same format; they include `around`."""
    around: Metadata = Metadata()
    left_behind: tuple[str, ...] = ()
    """Names of data that no output will hold."""
    only_here: bool = False
    """True if `blocks` hold more than `around`; an output of another format lacks the rest."""
    recoded: tuple[str, ...] = ()
    """Names of codings that an output of the same format will not have."""
    has_unnamed_channel: bool = False
    """True if the file does not declare that its additional channel is alpha."""
