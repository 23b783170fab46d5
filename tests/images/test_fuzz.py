"""Every file with changed bytes results in an image or in an error that names the file."""

import os
from contextlib import nullcontext
from io import BytesIO

import numpy as np
import pytest

from crdnet import images
from crdnet.errors import ImageError
from crdnet.images import ImageSource, WorkerCodec
from tests.images.making import make_image_file

FILES = int(os.environ.get("CRDNET_MUTATED_FILES", "210"))
"""`make soak` asks for more."""
KINDS = [
    ("JPEG", "rgb", 8),
    ("PNG", "rgba", 8),
    ("PNG", "rgb", 16),
    ("TIFF", "rgba", 16),
    ("WEBP", "rgba", 8),
    ("AVIF", "rgba", 8),
    ("AVIF", "rgb", 10),
]


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """A file cut off, or with some bytes changed, in its beginning more than elsewhere."""
    if rng.random() < 0.25:
        return content[: rng.integers(1, len(content))]
    changed = bytearray(content)
    for _ in range(rng.integers(1, 20)):
        changed[rng.integers(len(changed) if rng.random() < 0.3 else min(len(changed), 400))] = (
            rng.integers(256)
        )
    return bytes(changed)


@pytest.mark.filterwarnings("ignore")  # Pillow warns before it gives up
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_mutated_file_ends_in_an_image_or_a_named_error(kind: tuple[str, str, int]) -> None:
    content, rng, messages = make_image_file(*kind), np.random.default_rng(11), list[str]()
    with WorkerCodec() as codec:
        for _ in range(-(-FILES // len(KINDS))):
            broken = mutated(content, rng)
            try:
                image = codec.decode(ImageSource(broken, "it", max_pixels=10_000_000))
                for format in (None, "PNG"):
                    codec.encode(
                        image,
                        image.pixels,
                        lambda: nullcontext(BytesIO()),
                        format=format,
                        name="it",
                    )
                images.remove_gps(broken, "it")
            except ImageError as error:
                messages.append(str(error))
    assert messages
    unnamed = [
        message
        for message in messages
        if "\n" in message or not ("it " in message or "image" in message)
    ]
    assert not unnamed
