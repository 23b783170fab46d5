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
from crdnet.images.decoded import MAX_PIXELS
from crdnet.images.gps import remove_location
from crdnet.images.headers import UNNAMED, Header, read_header

# One MiB at a time, so that a file of gigabytes is not held in memory.
_COPIED_BYTES = 1 << 20


class ImageSource:
    """Image file whose header is parsed once and whose content is read once; a context manager.

    Args:
        source: Path or content of a file.
        name: Name of the file in messages; None is the path.
        max_pixels: Maximum number of pixels, all frames together.
        header: Header of the content, if it was parsed already; `max_pixels` is then not checked.

    Attributes:
        name: Name of the file in messages.
        path: Path of the file; None if it is in memory.
        header: Format and size.
        found: Status of the file when it was opened; None if it is in memory.
        is_original: Whether `content` is the unchanged content of the file.

    Raises:
        ImageError: The file cannot be read, is not an image, or has too many pixels.
    """

    def __init__(
        self,
        source: Path | bytes,
        name: str | None = None,
        *,
        max_pixels: int = MAX_PIXELS,
        header: Header | None = None,
    ) -> None:
        self.path = source if isinstance(source, Path) else None
        self.name = name or (UNNAMED if self.path is None else str(source))
        self.found: os.stat_result | None = None
        self.is_original = True
        self._content = None if isinstance(source, Path) else source
        self._file: BinaryIO | None = None
        try:
            with self._map() as mapped:  # only the pages that the parser accesses are loaded
                self.header = header or read_header(mapped, self.name, max_pixels=max_pixels)
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
        """Close the file; content that was read stays available."""
        if self._file is not None:
            self._file.close()

    @property
    def content(self) -> bytes:
        """Content of the file.

        Raises:
            ImageError: The file cannot be read, or it changed since it was opened.
        """
        if self._content is None:
            assert self._file is not None
            try:
                self._content = self._file.read()
                after = os.fstat(self._file.fileno())
            except OSError as error:
                raise self._make_unreadable_error(error) from error
            if len(self._content) != after.st_size:
                raise self._make_changed_error()
            self._compare(after)
        return self._content

    def strip_gps(self) -> tuple[str, ...]:
        """Remove the location from the metadata in `content`.

        Returns:
            Names of what was removed as a whole because it may hold the location, such as a video.

        Raises:
            ImageError: The location cannot be removed.
        """
        self._content, removed = remove_location(self.content, self.name)
        self.is_original = False
        return removed

    def copy_to(self, file: BufferedIOBase) -> None:
        """Write the content to a file, in chunks if it was not read yet.

        Raises:
            ImageError: The file changed since it was opened.
        """
        if self._content is not None:
            file.write(self._content)
            return
        assert self._file is not None
        self.check_unchanged()
        copyfileobj(self._file, file, _COPIED_BYTES)
        self.check_unchanged()

    def check_unchanged(self) -> None:
        """Raise an ImageError if the file was modified or replaced since it was opened."""
        if self.path is not None:
            self._compare(self.path.stat())

    def _map(self) -> AbstractContextManager[Content]:
        """Open the file; return its content, mapped if the file is on disk."""
        if self.path is None:
            return nullcontext(self._content or b"")
        try:
            self._file = self.path.open("rb")
            self.found = os.fstat(self._file.fileno())
            if not S_ISREG(self.found.st_mode):  # a pipe has no size and can be read only once
                self._content = self._file.read()
            if self._content is not None or not self.found.st_size:  # there is nothing to map
                return nullcontext(self._content or b"")
            return mmap(self._file.fileno(), 0, access=ACCESS_READ)
        except FileNotFoundError as error:
            if self.path.is_symlink():
                raise ImageError(
                    f"{self.path} is a link to {self.path.readlink()}, which does not exist; "
                    "restore that file, or remove the link"
                ) from error
            raise ImageError(f"there is no file {self.path}; check the path") from error
        except (OSError, ValueError) as error:  # ValueError: the file was truncated to nothing
            raise self._make_unreadable_error(error) from error

    def _compare(self, now: os.stat_result) -> None:
        assert self.found is not None
        if (now.st_size, now.st_mtime_ns) != (self.found.st_size, self.found.st_mtime_ns):
            raise self._make_changed_error()

    def _make_changed_error(self) -> ImageError:
        return ImageError(
            f"{self.name} changed while it was read; derain it when no program writes to it"
        )

    def _make_unreadable_error(self, error: Exception) -> ImageError:
        reason = error.strerror if isinstance(error, OSError) else None
        return ImageError(f"{self.name} cannot be read: {reason or error}")
