"""Codecs: where the pixels of a file are decoded and encoded.

Every codec has the same two methods. `LocalCodec` works in this process; `WorkerCodec`
(`crdnet.images.worker`) works in subprocesses, which a damaged file may crash.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from io import BufferedIOBase
from typing import Any, Protocol, TypeVar, runtime_checkable

from crdnet.images.picture import Picture, Pixels
from crdnet.images.reading import decode
from crdnet.images.source import ImageSource
from crdnet.images.writing import encode, notes

Output = Callable[[], AbstractContextManager[BufferedIOBase]]
"""Opens the place of a result; the result is complete when the context ends without an error."""

Decoded = TypeVar("Decoded")


@runtime_checkable
class Codec(Protocol[Decoded]):
    """Decodes an image and encodes new pixels into a file like it."""

    def decode(self, source: ImageSource) -> Decoded:
        """Return the decoded image, with upright `pixels`.

        Raises:
            ImageError: The file is damaged, or holds something that cannot be kept.
        """

    def encode(
        self,
        image: Decoded,
        pixels: Any,
        output: Output,
        *,
        format: str | None = None,  # noqa: A002
        quality: int | None = None,
        name: str = "the image",
    ) -> tuple[str, ...]:
        """Write new pixels into a file like the image's own; see `crdnet.images.encode`.

        Returns:
            What the file could not keep, as sentences without a full stop.
        """


class LocalCodec:
    """Codec that works in this process."""

    def decode(self, source: ImageSource) -> Picture:
        """Return the decoded image; see `Codec`."""
        return decode(source.content, source.name, header=source.header)

    def encode(
        self,
        image: Picture,
        pixels: Pixels,
        output: Output,
        *,
        format: str | None = None,  # noqa: A002
        quality: int | None = None,
        name: str = "the image",
    ) -> tuple[str, ...]:
        """Write new pixels into a file like the image's own; see `Codec`."""
        content = encode(image, pixels, format, quality=quality, name=name)
        with output() as file:
            file.write(content)
        return notes(image, format)
