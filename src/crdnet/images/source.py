"""Image files to be read, on disk or in memory."""

import os
from contextlib import AbstractContextManager, nullcontext
from io import BufferedIOBase
from mmap import ACCESS_READ, mmap
from pathlib import Path
from shutil import copyfileobj
from stat import S_ISREG
from types import TracebackType
from typing import BinaryIO

from crdnet.errors import ImageError
from crdnet.images.containers.metadata import Content
from crdnet.images.gps import without_location
from crdnet.images.headers import read_header
from crdnet.images.picture import MAX_PIXELS

_COPIED_BYTES = 1 << 20


class ImageSource:
    """Image file whose header is parsed once and whose content is read once; use it as a context.

    Args:
        source: The path of a file, or all bytes of one.
        name: What messages call it; None is the path.
        max_pixels: Refuse images of more, all frames together.

    Attributes:
        name: What messages call it.
        path: Where the file is; None if it is in memory.
        header: Format and size.
        found: The status of the file when it was opened; None if it is in memory.
        is_original: Whether `content` is that of the file, unchanged.

    Raises:
        ImageError: The file cannot be read, is no image, or has too many pixels.
    """

    def __init__(
        self, source: Path | bytes, name: str | None = None, *, max_pixels: int = MAX_PIXELS
    ) -> None:
        self.path = source if isinstance(source, Path) else None
        self.name = name or ("the image" if self.path is None else str(source))
        self.found: os.stat_result | None = None
        self.is_original = True
        self._content = None if isinstance(source, Path) else source
        self._file: BinaryIO | None = None
        try:
            with self._map() as mapped:  # only the pages that the parser looks at are loaded
                self.header = read_header(mapped, self.name, max_pixels=max_pixels)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "ImageSource":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was read of it stays."""
        if self._file is not None:
            self._file.close()

    @property
    def content(self) -> bytes:
        """All bytes of the file.

        Raises:
            ImageError: The file cannot be read, or changed meanwhile.
        """
        if self._content is None:
            assert self._file is not None
            try:
                self._content = self._file.read()
                after = os.fstat(self._file.fileno())
            except OSError as error:
                raise self._unreadable(error) from error
            if len(self._content) != after.st_size:
                raise self._changed()
            self._compare(after)
        return self._content

    def strip_gps(self) -> tuple[str, ...]:
        """Remove from the metadata in `content` where the image was taken.

        Returns:
            What had to go as a whole because it may hold the location, such as a video.

        Raises:
            ImageError: The location cannot be removed.
        """
        self._content, removed = without_location(self.content, self.name)
        self.is_original = False
        return removed

    def copy_to(self, file: BufferedIOBase) -> None:
        """Write the content into a file, in pieces if it was not read yet."""
        if self._content is not None:
            file.write(self._content)
            return
        assert self._file is not None
        self.check_unchanged()
        copyfileobj(self._file, file, _COPIED_BYTES)
        self.check_unchanged()

    def check_unchanged(self) -> None:
        """Refuse a file that was written to, or replaced, since it was opened."""
        if self.path is not None:
            self._compare(self.path.stat())

    def _map(self) -> AbstractContextManager[Content]:
        """Open the file and return its content, mapped if it is on disk."""
        if self.path is None:
            return nullcontext(self._content or b"")
        try:
            self._file = self.path.open("rb")
            self.found = os.fstat(self._file.fileno())
            if not S_ISREG(self.found.st_mode):  # a pipe has no size, and is read only once
                self._content = self._file.read()
            if self._content is not None or not self.found.st_size:  # nothing can be mapped
                return nullcontext(self._content or b"")
            return mmap(self._file.fileno(), 0, access=ACCESS_READ)
        except FileNotFoundError as error:
            if self.path.is_symlink():
                raise ImageError(
                    f"{self.path} is a link to {self.path.readlink()}, which does not exist; "
                    "restore that file, or remove the link"
                ) from error
            raise ImageError(f"there is no file {self.path}; check the path") from error
        except (OSError, ValueError) as error:  # ValueError: it was emptied meanwhile
            raise self._unreadable(error) from error

    def _compare(self, now: os.stat_result) -> None:
        assert self.found is not None
        if (now.st_size, now.st_mtime_ns) != (self.found.st_size, self.found.st_mtime_ns):
            raise self._changed()

    def _changed(self) -> ImageError:
        return ImageError(
            f"{self.name} changed while it was read; derain it when nobody writes to it"
        )

    def _unreadable(self, error: Exception) -> ImageError:
        reason = error.strerror if isinstance(error, OSError) else None
        return ImageError(f"{self.name} cannot be read: {reason or error}")
