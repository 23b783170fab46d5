"""Tar files of training sets, in the form of WebDataset: images replaced, everything else kept.

Members that belong together have one key, the name up to the first dot: `0001.jpg`, `0001.json`.
Keys and order stay, and what is no image is copied. So are clean images of pairs
(`0001.clean.png`), and images that cannot be derained, which are named.
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
    """Images that were copied as they are, each with the reason."""


def derain_members(
    content: bytes, name: str, derain: Callable[[bytes, str], tuple[bytes, int]]
) -> DerainedTar:
    """Return a tar file with its images derained.

    Args:
        content: The tar file.
        name: Its name in messages.
        derain: Returns the derained file of an image file with a name, and its number of pixels.

    Raises:
        ImageError: It is no tar file that can be read.
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
