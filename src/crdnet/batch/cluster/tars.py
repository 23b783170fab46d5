"""Tar files of training sets in the WebDataset form: images are derained, all else is copied.

Members that belong together share a key, the name up to the first dot: `0001.jpg`, `0001.json`.
Keys and order stay. Members that are not images are copied, as are clean images of pairs
(`0001.clean.png`) and images that cannot be derained; the latter are reported.
"""

import tarfile
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import PurePosixPath

from crdnet.data import CLEAN_ROLES
from crdnet.errors import CRDNetError, ImageError
from crdnet.images import FORMAT_OF_SUFFIX


@dataclass
class DerainedTar:
    """A tar file with derained images."""

    content: bytes = b""
    images: int = 0
    pixels: int = 0
    failures: list[str] = field(default_factory=list)
    """Images that were copied because deraining failed, each with the reason."""


def derain_members(
    content: bytes, name: str, derain: Callable[[bytes, str], tuple[bytes, int]]
) -> DerainedTar:
    """Return a tar file with its images derained.

    Args:
        content: The tar file.
        name: Its name in messages.
        derain: Function of an image file and its name; returns the derained file and its number of
            pixels.

    Raises:
        ImageError: The content is not a readable tar file.
    """
    result, buffer = DerainedTar(), BytesIO()
    try:
        with (
            tarfile.open(fileobj=BytesIO(content)) as source,
            tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as target,
        ):
            for member in source:
                file = source.extractfile(member) if member.isfile() else None
                if file is None:
                    target.addfile(member)
                    continue
                body = file.read()
                if _is_rainy_image(member.name):
                    result.images += 1
                    try:
                        body, pixels = derain(body, f"{name}/{member.name}")
                        result.pixels += pixels
                    except CRDNetError as error:
                        result.failures.append(f"{member.name}: {error}")
                changed = copy(member)
                changed.size = len(body)
                target.addfile(changed, BytesIO(body))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ImageError(f"{name} cannot be read as a tar file: {error}; write it again") from error
    result.content = buffer.getvalue()
    return result


def _is_rainy_image(name: str) -> bool:
    path = PurePosixPath(name)
    roles = path.name.lower().split(".")[1:-1]
    return path.suffix.lower() in FORMAT_OF_SUFFIX and not set(roles) & set(CLEAN_ROLES)
