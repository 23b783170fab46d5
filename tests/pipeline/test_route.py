"""The route of one image: one header, one read, one gate, whatever the codec."""

from contextlib import nullcontext
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import crdnet.images.source
from crdnet import Derainer, DerainOptions
from crdnet.errors import ArgumentError
from crdnet.images import ImageSource, WorkerCodec, read_header
from crdnet.pipeline import derain_source
from tests.cli.sensing_model import write_sensing_model


@pytest.fixture(scope="module")
def sensing(tmp_path_factory: pytest.TempPathFactory) -> Derainer:
    return Derainer(write_sensing_model(tmp_path_factory.mktemp("models") / "sensing.onnx"))


@pytest.fixture
def street(tmp_path: Path) -> Path:
    path = tmp_path / "street.jpg"
    Image.fromarray(np.full((24, 40, 3), 51, np.uint8)).save(path, comment=b"remember")
    return path


def test_the_header_is_parsed_once(
    sensing: Derainer, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []

    def count(*arguments: object, **options: object) -> object:
        parsed.append("once")
        return read_header(*arguments, **options)  # type: ignore[arg-type]

    for module in ("source", "reading", "bands", "worker", "gps"):
        if hasattr(getattr(crdnet.images, module), "read_header"):
            monkeypatch.setattr(f"crdnet.images.{module}.read_header", count)
    sensing.derain_file(street, tmp_path / "clean.jpg")
    assert len(parsed) == 1


@pytest.mark.parametrize(
    "options",
    [DerainOptions(), DerainOptions(strength=0.5, quality=30), DerainOptions(format="webp")],
    ids=str,
)
def test_a_worker_makes_the_same_file_as_this_process(
    sensing: Derainer, street: Path, options: DerainOptions
) -> None:
    here, there = BytesIO(), BytesIO()
    with WorkerCodec() as codec, ImageSource(street) as one, ImageSource(street) as other:
        first = derain_source(sensing.network, one, lambda: nullcontext(here), options)
        second = derain_source(
            sensing.network, other, lambda: nullcontext(there), options, codec=codec
        )
    assert here.getvalue() == there.getvalue()
    assert first.warnings == second.warnings
    assert first.sensed == second.sensed
    assert list(first.stages) == ["decode", "derain", "encode"]


def test_an_output_is_not_opened_before_the_result_is_there(
    sensing: Derainer, street: Path
) -> None:
    steps: list[str] = []

    def output() -> nullcontext[BytesIO]:
        steps.append("output")
        return nullcontext(BytesIO())

    with ImageSource(street) as source:
        derain_source(
            sensing.network,
            source,
            output,
            on_derained=lambda *_: steps.append("derained"),
        )
    assert steps == ["derained", "output"]


def test_an_image_without_its_place_is_not_left_alone(sensing: Derainer, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    Image.new("RGB", (40, 24)).save(tmp_path / "placed.jpg", exif=exif)
    for strip_gps in (False, True):
        outcome = sensing.derain_file(
            tmp_path / "placed.jpg",
            tmp_path / f"{strip_gps}.jpg",
            options=DerainOptions(strip_gps=strip_gps),
        )
        assert (outcome.status, outcome.dry, outcome.left_alone) == ("dry", True, not strip_gps)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"strength": 1.5}, "from 0 to 1"),
        ({"strength": float("nan")}, "from 0 to 1"),
        ({"format": "gif"}, "`format` 'gif'"),
        ({"quality": 0}, "`quality`"),
        ({"max_pixels": 0}, "`max_pixels`"),
    ],
)
def test_options_are_checked_at_birth(wrong: dict[str, float], rule: str) -> None:
    with pytest.raises(ArgumentError, match=rule):
        DerainOptions(**wrong)  # type: ignore[arg-type]
