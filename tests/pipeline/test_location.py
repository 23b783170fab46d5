"""Files lose their location whether they are left alone or derained, and what else went is told."""

from contextlib import nullcontext
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crdnet import Derainer, DerainOptions, Outcome
from crdnet.images import ImageSource
from crdnet.pipeline import derain_source
from tests.cli.sensing_model import write_sensing_model
from tests.images.making import opened, saved
from tests.images.test_location import FILM, location_exif

BLACK = np.zeros((24, 40, 3), np.uint8)


def derain(model: Path, content: bytes, options: DerainOptions) -> tuple[Outcome, bytes]:
    written = BytesIO()
    with ImageSource(content, "it.jpg") as source:
        outcome = derain_source(
            Derainer(model).network, source, lambda: nullcontext(written), options
        )
    return outcome, written.getvalue()


@pytest.mark.parametrize("always", [False, True])
def test_nothing_of_the_location_is_left_and_what_went_with_it_is_told(
    tmp_path: Path, always: bool
) -> None:
    model = write_sensing_model(tmp_path / "sensing.onnx")
    content = saved(BLACK, "JPEG", exif=location_exif()) + FILM
    outcome, written = derain(model, content, DerainOptions(strip_gps=True, always=always))
    assert b"SECRET" not in written
    assert isinstance(opened(written), Image.Image)
    assert outcome.warnings == (
        "removed the maker note, which may hold the location",
        "removed the video behind the image, which may hold the location",
    )
    _, kept = derain(model, content, DerainOptions(always=always))
    assert (kept == content) is not always
