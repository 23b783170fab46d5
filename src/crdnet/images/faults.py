"""Error messages for damaged files, from the errors of Pillow, libvips, libheif and our parsers."""

import re
import struct
import zlib

from PIL import Image

from crdnet.errors import ImageError
from crdnet.images import vips

BROKEN: tuple[type[Exception], ...] = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""Errors that Pillow raises for damaged files, as found in its own except clauses."""
# Exceptions whose text is about the program, not about the file.
_INTERNAL = (EOFError, LookupError, TypeError, OverflowError, UnicodeError, struct.error)
_INTERNAL_TEXT = re.compile(
    r"invalid literal|decoder object|unpack|buffer|bytes-like|out of range|reshape|subsection"
    r"|NoneType|argument|must be|not enough values|too many values|could not convert|tile cannot"
    r"|cannot seek|embedded null|cannot mmap|negative|base \d+|object is|\d+ bytes long",
    re.IGNORECASE,
)
_UNSUPPORTED = re.compile(
    r"unsupported(?! marker)|not supported|not implemented|cannot handle"
    r"|unknown (compression|pixel|raw mode)|security limit"
    r"|decompression bomb|MAX_TEXT_CHUNK|MAX_TEXT_MEMORY"
    r"|no (decoder|codec|decoding plugin)|not (built|compiled)",
    re.IGNORECASE,
)
_ENDS_EARLY = "it ends too early, or its header holds impossible values"


def describe_fault(error: Exception) -> str:
    """Describe in one line what is wrong with a file."""
    text = vips.shorten_message(error)
    if "MAX_TEXT" in text:
        return "its text is larger than any caption"
    if isinstance(error, Image.DecompressionBombError):
        return text.split(",")[0]
    if isinstance(error, zlib.error):
        return "its compressed samples are damaged"
    if isinstance(error, _INTERNAL) or not text or _INTERNAL_TEXT.search(text):
        return _ENDS_EARLY
    return text


def make_read_error(name: str, error: Exception) -> ImageError:
    """Return the ImageError for a file that cannot be decoded."""
    if _UNSUPPORTED.search(str(error)):
        return ImageError(
            f"{name} has a feature that crdnet does not support ({describe_fault(error)}); convert "
            "it to a plain JPEG, PNG or TIFF first"
        )
    return ImageError(
        f"{name} is damaged and cannot be read to its end ({describe_fault(error)}); open it in "
        "another program and save it again"
    )
