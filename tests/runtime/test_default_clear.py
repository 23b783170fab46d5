"""Behaviour of the shipped model `default-clear`, which was trained without research data."""

import pytest

from crdnet import Derainer, RainDensity
from crdnet.metrics import psnr
from crdnet.runtime import find_model, read_info
from tests.runtime.test_default import GRADES, example, grade_of

NAME = "default-clear"


@pytest.fixture(scope="module")
def clear() -> Derainer:
    return Derainer(NAME, threads=1)


def test_its_file_names_no_research_data() -> None:
    data = read_info(find_model(NAME)).training_data
    assert "CID22" in data
    assert not [name for name in ("Rain800", "BSDS500", "SUN") if name in data]


@pytest.mark.parametrize("grade", GRADES)
def test_the_examples_are_graded_and_derained_and_their_clean_images_kept(
    clear: Derainer, grade: RainDensity
) -> None:
    rainy, clean = example(grade)
    result = clear.run(rainy)
    assert abs(grade_of(result.sensed) - grade) <= 1
    assert psnr(result.image, clean, "restormer-y") > psnr(rainy, clean, "restormer-y") + 2
    dry = clear.run(clean)
    assert grade_of(dry.sensed) <= RainDensity.LIGHT
    assert psnr(dry.image, clean, "restormer-y") > 30
