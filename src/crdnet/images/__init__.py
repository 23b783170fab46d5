"""Reading and writing of image files: pixels for the network, and metadata that must be kept.

JPEG, PNG, WebP, TIFF and AVIF are written as they were read: format, size, 8 or 16 bits per sample,
grey or RGB, alpha. GIF, BMP, PPM and HEIC are only read; the output needs another format. The
content determines the format, not the name. Palettes become colours, CMYK becomes sRGB, and 1 bit
becomes grey of 8 bits; a note names each conversion. Animations, several pages, floats and Lab are
refused with an error, because their content would be lost.

Decoded pixels are upright, RGB or grey; the `DecodedImage` holds the alpha channel separately. They
are stored in the orientation of the input, with its orientation tag. Metadata is copied as bytes
(`crdnet.images.containers`). A JPEG is written with the quantisation tables and the subsampling of
its input. `list_notes` names what a format cannot hold.

`BandReader` and `BandWriter` process images that do not fit into memory, band by band.

An `ImageSource` is a file to read. A `Codec` decodes and encodes: a `LocalCodec` in this process, a
`WorkerCodec` in subprocesses, so that a decoder that crashes ends only one of them.

Pillow codes 8 bits, because it keeps the tables of a JPEG. libvips codes what Pillow cannot, and is
loaded only when needed.
"""

from crdnet.images.bands import BANDED, BandReader, BandWriter
from crdnet.images.codec import Codec, Decoded, LocalCodec
from crdnet.images.decoded import (
    FORMAT_OF_SUFFIX,
    FORMATS,
    MAX_PIXELS,
    DecodedImage,
    Pixels,
    turn_back,
    turn_upright,
)
from crdnet.images.gps import remove_gps, remove_location
from crdnet.images.headers import Header, check_writable, read_header
from crdnet.images.pil import get_pil_pixels, is_pil, make_pil_like
from crdnet.images.raw import RAW_SUFFIXES
from crdnet.images.reading import decode
from crdnet.images.source import ImageSource
from crdnet.images.worker import CodecError, Fault, SealedImage, WorkerCodec
from crdnet.images.writing import Output, encode, list_lost, list_notes

__all__ = [
    "BANDED",
    "FORMATS",
    "FORMAT_OF_SUFFIX",
    "MAX_PIXELS",
    "RAW_SUFFIXES",
    "BandReader",
    "BandWriter",
    "Codec",
    "CodecError",
    "Decoded",
    "DecodedImage",
    "Fault",
    "Header",
    "ImageSource",
    "LocalCodec",
    "Output",
    "Pixels",
    "SealedImage",
    "WorkerCodec",
    "check_writable",
    "decode",
    "encode",
    "get_pil_pixels",
    "is_pil",
    "list_lost",
    "list_notes",
    "make_pil_like",
    "read_header",
    "remove_gps",
    "remove_location",
    "turn_back",
    "turn_upright",
]
