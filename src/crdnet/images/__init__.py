"""Image files in and out: pixels for the network, and metadata that must not be lost.

JPEG, PNG, WebP, TIFF and AVIF are written as they were read: format, size, 8 or 16 bits per sample,
grey or RGB, alpha unchanged. GIF, BMP, PPM and HEIC are read, and need another format for the
result. The content determines the format, not the name. Palettes become
colours, CMYK becomes sRGB, 1 bit becomes grey of 8 bits; a note names each conversion. Animations,
several pages, floats and Lab are refused by name, since their content would be lost.

Pixels are upright, RGB or grey; the alpha channel is kept beside them in the `Picture`. They are
stored in the orientation of the source, with its orientation tag. Metadata is copied as bytes
(`crdnet.images.containers`). A JPEG is written with its source's quantisation tables and
subsampling. `notes` names what a format cannot hold.

`BandReader` and `BandWriter` process images that do not fit into memory, band by band.

An `ImageSource` is a file to read, and a `Codec` decodes and encodes: a `LocalCodec` in this
process, a `WorkerCodec` in subprocesses, so that a crash of a decoder ends only one of them.

Pillow codes 8 bits, because it keeps a JPEG's tables; libvips codes what Pillow cannot, and is
loaded only then.
"""

from crdnet.images.bands import BANDED, BandReader, BandWriter
from crdnet.images.codec import Codec, Decoded, LocalCodec, Output
from crdnet.images.gps import without_gps, without_location
from crdnet.images.headers import Header, read_header, writable
from crdnet.images.picture import (
    FORMAT_OF_SUFFIX,
    FORMATS,
    MAX_PIXELS,
    Picture,
    Pixels,
    turned_back,
    turned_up,
)
from crdnet.images.pil import is_pil, pil_like, pixels_of_pil
from crdnet.images.raw import RAW_SUFFIXES
from crdnet.images.reading import decode
from crdnet.images.source import ImageSource
from crdnet.images.worker import CodecError, Fault, SealedImage, WorkerCodec
from crdnet.images.writing import encode, lost_between, notes

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
    "Fault",
    "Header",
    "ImageSource",
    "LocalCodec",
    "Output",
    "Picture",
    "Pixels",
    "SealedImage",
    "WorkerCodec",
    "decode",
    "encode",
    "is_pil",
    "lost_between",
    "notes",
    "pil_like",
    "pixels_of_pil",
    "read_header",
    "turned_back",
    "turned_up",
    "without_gps",
    "without_location",
    "writable",
]
