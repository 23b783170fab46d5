"""Picture files in and out: what the network sees, and everything around it that must not be lost.

JPEG, PNG, WebP, TIFF and AVIF go out as they came in: format, size, 8 or 16 bits per sample, grey or RGB, alpha bit for
bit. GIF, BMP, PPM and (with the extra `heic`) HEIC are read, and need another format to be written. The content decides
which format it is, never the name. Palettes become colours, CMYK becomes sRGB, 1 bit becomes grey of 8 bits, and each
says so; animations, several pages, floats and Lab are refused by name, since what cannot be kept must not be lost in
silence.

The network sees a picture upright, RGB or grey, while its alpha channel waits in the `Picture`. The pixels are stored
in the file as they were stored before and the orientation tag stays. What is around them is copied as the bytes it was
(`crdnet.containers`). A JPEG is written with the quantisation tables and the subsampling it came with. What a format
cannot carry is named by `notes`.

What is too large for memory goes through `BandReader` and `BandWriter`, row band by row band.

Any decoder may crash of what it is given. `Decoders` decode in processes of their own, of which a crash takes one;
a `Worker` is such a process, whose memory can be bounded.

Pillow codes 8 bits, since it alone keeps a JPEG's tables; libvips codes what Pillow cannot, and is loaded only then.
"""

from crdnet.images.bands import BANDED, BandReader, BandWriter
from crdnet.images.gps import without_gps
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
from crdnet.images.reading import decode
from crdnet.images.worker import CodecError, Decoders, Fault, Worker, WorkerDiedError
from crdnet.images.writing import encode, lost_between, notes

__all__ = [
    "BANDED",
    "FORMATS",
    "FORMAT_OF_SUFFIX",
    "MAX_PIXELS",
    "BandReader",
    "BandWriter",
    "CodecError",
    "Decoders",
    "Fault",
    "Header",
    "Picture",
    "Pixels",
    "Worker",
    "WorkerDiedError",
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
    "writable",
]
