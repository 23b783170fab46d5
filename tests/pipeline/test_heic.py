"""HEIC images, whose damaged files crash their decoder."""

from pathlib import Path

import pytest

from crdnet import Derainer
from crdnet.errors import ImageError
from tests.images.making import heic
from tests.images.test_worker import crashing  # noqa: F401 - a fixture


@pytest.mark.usefixtures("crashing")
def test_a_heic_is_decoded_in_a_worker_unasked(derainer: Derainer, tmp_path: Path) -> None:
    pytest.importorskip("pi_heif", reason="the extra heic is not installed")
    content = heic("street")
    assert derainer.sense(content).density is None
    derainer.derain_file(_write(tmp_path / "street.heic", content), tmp_path / "street.png")
    with pytest.raises(ImageError, match="crash"):
        derainer.sense(content + b"FATAL")


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
