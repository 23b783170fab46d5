"""What every format can hold around its pixels, as the bytes that the formats share."""

from dataclasses import dataclass
from mmap import mmap

from crdnet.images.containers.colour import ColourSpace

Content = bytes | bytearray | mmap
"""A whole file: in memory, being edited, or mapped so that only what one looks at is loaded."""


@dataclass(frozen=True)
class Metadata:
    """What can travel from a file of one format into a file of another."""

    exif: bytes = b""
    """A TIFF structure, without the `Exif` mark that some containers put before it."""
    xmp: bytes = b""
    icc: bytes = b""
    photoshop: bytes = b""
    """Photoshop's image resources, which hold the IPTC captions."""
    dpi: tuple[float, float] | None = None
    """Pixels per inch across and down."""
    colours: ColourSpace | None = None
    """Colour space that the file tells in another way than by `icc`; None for sRGB."""


@dataclass(frozen=True)
class FileMetadata:
    """What a container taken apart gives."""

    blocks: tuple[bytes, ...] = ()
    """To be copied as they stand, in their order, into a file of the same format; `around` is in them."""
    around: Metadata = Metadata()
    left_behind: tuple[str, ...] = ()
    """The names of what no derained file will hold."""
    only_here: bool = False
    """Whether `blocks` hold more than `around`, which another format will lack."""
    recoded: tuple[str, ...] = ()
    """The names of ways of coding that a file of the same format will not have again."""
    has_unnamed_channel: bool = False
    """Whether the channel beside the colours is one of which the file does not say that it is alpha."""
