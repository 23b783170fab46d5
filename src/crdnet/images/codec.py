"""Codecs, which decode and encode image files in this process or in another.

All codecs have the same two methods. `LocalCodec` works in this process; `WorkerCodec`
(`crdnet.images.worker`) works in subprocesses, so that a damaged file crashes only one of them.
"""

from typing import Any, Protocol, TypeVar, runtime_checkable

from crdnet.images.reading import decode_source
from crdnet.images.source import ImageSource
from crdnet.images.writing import Output, encode_into

Decoded = TypeVar("Decoded")


@runtime_checkable
class Codec(Protocol[Decoded]):
    """Decoder of images, and encoder of new pixels in the format of an image."""

    def decode(self, source: ImageSource) -> Decoded:
        """Return the decoded image, with upright `pixels`.

        Raises:
            ImageError: The file is damaged, or has content that cannot be kept.
        """

    def encode(
        self,
        image: Decoded,
        pixels: Any,
        output: Output,
        *,
        format: str | None = None,
        quality: int | None = None,
        name: str = "the image",
    ) -> tuple[str, ...]:
        """Encode new pixels with the metadata of an image; see `crdnet.images.encode`.

        Returns:
            Notes on content that the output could not keep, as sentences without a full stop.
        """


class LocalCodec:
    """Codec that works in this process; see `Codec`."""

    decode = staticmethod(decode_source)
    encode = staticmethod(encode_into)
