"""Access to libvips, for what Pillow cannot do: 16 bits, all of TIFF, CMYK, AVIF of 10 bits, bands.

libvips is loaded at the first call. Loaders are called by name, so that a file cannot select
another loader, and the loaders that libvips does not trust are blocked as well. The cache of
libvips is off, because it could return outdated content of a file that has changed.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from threading import Lock
from typing import Any

import numpy as np

from crdnet.errors import ImageError
from crdnet.images.decoded import Pixels

# Maximum number of lines of a libvips message in an error.
_MOST_LINES = 3

_loaded_in: int | None = None
# Lock for the log and the error buffer of libvips, of which there is one per process.
_listening_lock = Lock()
# Warnings of libvips since the thread with the lock began to listen.
_warnings = list[str]()
# Warnings of libtiff and libjpeg about files whose pixels are all decoded.
_HARMLESS = (
    "Old-style LZW codes",
    "JPEG strip size exceeds expected dimensions",  # the last strip has rows below the image
    "encoded with progressive mode",
    "extraneous bytes before marker",
    "Inconsistent progression sequence",
    "Invalid SOS parameters",
    "Unknown Adobe color transform code",
    "unknown JFIF revision",
)
# Lines of libvips without information; another line says what happened.
_EMPTY_LINE = re.compile(
    r"read gave \d+ warnings|unable to write to memory|unable to fetch from region|\w+: load error"
)


@lru_cache(maxsize=1)
def _load() -> Any:
    global _loaded_in  # noqa: PLW0603 - the only way to detect a later fork
    try:
        import pyvips  # noqa: PLC0415 - the import takes longer than decoding most images
    except (ImportError, OSError) as error:
        raise ImageError(
            f"this image needs libvips, which cannot be loaded ({error}); "
            "pip install 'pyvips[binary]'"
        ) from error
    pyvips.cache_set_max(0)
    pyvips.block_untrusted_set(True)
    _loaded_in = os.getpid()
    return pyvips


def load_vips() -> Any:
    """Return the module pyvips.

    Raises:
        ImageError: libvips cannot be loaded, or this process was forked after it was loaded.
    """
    module = _load()
    if _loaded_in != os.getpid():
        raise ImageError(
            "this process was forked from one that used libvips, whose threads stayed behind; "
            "start processes with multiprocessing's 'spawn' instead of 'fork'"
        )
    return module


@lru_cache(maxsize=1)
def _make_warning_handler() -> Any:
    """Return the log handler that collects warnings; never freed, because a thread may be in it."""

    def keep(_domain: Any, _level: int, message: Any, _data: Any) -> None:
        _warnings.append(" ".join(_read_text(message).split()))

    return load_vips().ffi.callback("GLogFunc", keep)


def _read_text(pointer: Any) -> str:
    text: bytes = load_vips().ffi.string(pointer)
    return text.decode(errors="replace")


@contextmanager
def _listen() -> Iterator[list[str]]:
    """Collect what libvips reports inside the context, and clear its error buffer before and after.

    The list is filled when the context ends. Warnings are taken from GLib, because a program can
    silence the logger of pyvips.

    Raises:
        ValueError: An operation of libvips failed inside the context.
    """
    module, reports = load_vips(), list[str]()
    glib, library = module.glib_lib, module.vips_lib
    level, handler = module.GLogLevelFlags.LEVEL_WARNING, _make_warning_handler()
    with _listening_lock:
        _warnings.clear()
        library.vips_error_clear()
        number = glib.g_log_set_handler(b"VIPS", level, handler, module.ffi.NULL)
        try:
            yield reports
            reports += [*_warnings, *_read_text(library.vips_error_buffer()).splitlines()]
        except module.Error as error:
            raise ValueError(shorten_message(error)) from error
        finally:
            glib.g_log_remove_handler(b"VIPS", number)
            library.vips_error_clear()


class VipsImage:
    """Image file opened by a loader of libvips, which decodes samples on demand.

    Some loaders replace pixels that they cannot decode: black tiles of a TIFF, grey blocks of a
    JPEG. They report an error or a warning, but do not fail. Such a report makes the image damaged,
    unless opening the header gave the same report (an odd tag costs no pixels) or it is known to be
    harmless.

    Args:
        loader: Name of the loader.
        content: Content of the file, or a `Source` of it.
        options: Options of the loader.

    Raises:
        ValueError: The content is damaged.
    """

    def __init__(self, loader: str, content: Any, **options: Any) -> None:
        with _listen() as self._of_header:
            self._image = getattr(load_vips().Image, loader)(content, fail_on="error", **options)
        self._region = load_vips().Region.new(self._image)
        self.height: int = self._image.height
        self.width: int = self._image.width
        self.bands: int = self._image.bands
        self.dtype = np.dtype(np.uint16 if self._image.format == "ushort" else np.uint8)

    def read_samples(self) -> Pixels:
        """Return all samples, (h, w, bands).

        Raises:
            ValueError: The content is damaged.
        """
        return self._decode(lambda: get_samples(self._image))

    def read_rows(self, start: int, stop: int) -> Pixels:
        """Return the samples of rows `start` to `stop` - 1, (rows, w, bands).

        Raises:
            ValueError: The content is damaged.
        """

        def fetch() -> Pixels:
            fetched = self._region.fetch(0, start, self.width, stop - start)
            return np.frombuffer(fetched, self.dtype).reshape(-1, self.width, self.bands)

        return self._decode(fetch)

    def _decode(self, decode: Callable[[], Pixels]) -> Pixels:
        with _listen() as reports:
            samples = decode()
        damage = [
            report
            for report in reports
            if report not in self._of_header and not any(text in report for text in _HARMLESS)
        ]
        told = [report for report in damage if report and not _EMPTY_LINE.fullmatch(report)]
        if told:
            raise ValueError(told[0])
        return samples


def get_samples(image: Any) -> Pixels:
    """Return the samples (h, w, bands) of a `pyvips.Image`."""
    samples: Pixels = image.numpy().reshape(image.height, image.width, image.bands)
    return samples


def make_image(samples: Pixels) -> Any:
    """Return a `pyvips.Image` of samples.

    Args:
        samples: (h, w), or (h, w, bands) of grey or RGB with or without alpha; uint8 or uint16.
    """
    grey = samples.ndim == 2 or samples.shape[2] < 3
    wide = samples.dtype == np.uint16
    kind = ("grey16" if wide else "b-w") if grey else ("rgb16" if wide else "srgb")
    return load_vips().Image.new_from_array(np.ascontiguousarray(samples)).copy(interpretation=kind)


def save(saver: str, samples: Pixels, **options: Any) -> bytes:
    """Encode samples with a saver of libvips; return a file without metadata.

    Raises:
        ValueError: The format cannot hold the samples.
    """
    with _listen():
        content: bytes = getattr(make_image(samples), saver)(keep="none", **options)
    return content


def convert_inks(inks: Pixels, profile: bytes) -> tuple[Pixels, bool]:
    """Convert CMYK to sRGB; return the colours and whether the given profile was used.

    Args:
        inks: (h, w, 4), 0 is no ink.
        profile: ICC profile; if it is empty or damaged, the CMYK profile of libvips is used.
    """
    module = load_vips()
    image = module.Image.new_from_array(np.ascontiguousarray(inks)).copy(interpretation="cmyk")
    options = {"intent": "relative", "black_point_compensation": True, "depth": 8 * inks.itemsize}
    told = _can_convert_inks(profile)
    if told:
        image.set_type(module.GValue.blob_type, "icc-profile-data", profile)
        options["embedded"] = True
    else:
        options["input_profile"] = "cmyk"
    with _listen():
        return get_samples(image.icc_transform("srgb", **options)), told


def _can_convert_inks(profile: bytes) -> bool:
    """Return whether a profile can convert CMYK; libvips would silently replace a damaged one."""
    from PIL import ImageCms  # noqa: PLC0415 - only for CMYK images

    try:
        opened = ImageCms.ImageCmsProfile(BytesIO(profile))
        intent, direction = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Direction.INPUT
        return (
            opened.profile.xcolor_space == "CMYK"
            and ImageCms.isIntentSupported(opened, intent, direction) == 1
        )
    except (OSError, ImageCms.PyCMSError):
        return False


def shorten_message(error: Exception | str) -> str:
    """Return an error message of libvips in one line without repetitions; may be empty."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not _EMPTY_LINE.fullmatch(line)] or lines[:1]
    return "; ".join(list(dict.fromkeys(told))[:_MOST_LINES])
