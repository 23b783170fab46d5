"""Files lose their location whether they are left alone or derained, and what else went is told."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crdnet.runtime import Derainer, FileOptions
from crdnet.runtime.files import derain_content
from tests.cli.sensing_model import write_sensing_model
from tests.images.making import opened, saved
from tests.images.test_location import FILM, location_exif

BLACK = np.zeros((24, 40, 3), np.uint8)


@pytest.mark.parametrize("always", [False, True])
def test_nothing_of_the_location_is_left_and_what_went_with_it_is_told(
    tmp_path: Path, always: bool
) -> None:
    derainer = Derainer(write_sensing_model(tmp_path / "sensing.onnx"), threads=1)
    content = saved(BLACK, "JPEG", exif=location_exif()) + FILM
    options = FileOptions(strip_gps=True, always=always)
    derained = derain_content(derainer, content, name="it.jpg", options=options)
    assert derained.dry is not always
    assert derained.content is not None
    assert b"SECRET" not in derained.content
    assert isinstance(opened(derained.content), Image.Image)
    assert derained.warnings == (
        "took out the maker note, which may tell the location",
        "took out the video behind the image, which may tell the location",
    )
    kept = derain_content(derainer, content, name="it.jpg", options=FileOptions(always=always))
    assert kept.content is not None
    assert (kept.content == content) is not always
