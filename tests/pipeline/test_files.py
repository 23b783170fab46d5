import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import crdnet
from crdnet import Derainer, DerainOptions
from crdnet.errors import ImageError, OutputError
from crdnet.runtime import Network


@pytest.fixture
def street(tmp_path: Path, rng: np.random.Generator) -> Path:
    place = tmp_path / "street.png"
    Image.fromarray(rng.integers(0, 256, (12, 20, 3), dtype=np.uint8)).save(place)
    return place


def pixels(path: Path | None) -> np.ndarray:
    assert path is not None
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_file_gives_a_file_beside_it_and_a_record(derainer: Derainer, street: Path) -> None:
    record = derainer.derain_file(street)
    assert (record.source, record.output) == (street, street.with_name("street_derained.png"))
    assert (record.width, record.height, record.density, record.warnings) == (20, 12, None, ())
    assert record.seconds is not None
    assert record.seconds > 0
    np.testing.assert_array_equal(pixels(record.output), derainer(pixels(street)))


def test_the_function_does_as_the_method(
    derainer: Derainer, tiny_model: Path, street: Path, tmp_path: Path
) -> None:
    record = crdnet.derain_file(
        str(street),
        str(tmp_path / "new/folder/it.png"),
        options=DerainOptions(strength=0.5),
        model=tiny_model,
    )
    np.testing.assert_array_equal(pixels(record.output), derainer(pixels(street), strength=0.5))


def test_an_existing_output_is_replaced_only_on_request(
    derainer: Derainer, street: Path, tmp_path: Path
) -> None:
    output = tmp_path / "it.png"
    output.write_text("mine")
    with pytest.raises(OutputError, match=r"it\.png exists"):
        derainer.derain_file(street, output)
    assert output.read_text() == "mine"
    derainer.derain_file(street, output, overwrite=True)
    assert pixels(output).shape == (12, 20, 3)


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_the_source_is_never_replaced(
    derainer: Derainer, street: Path, tmp_path: Path, link: object
) -> None:
    other = tmp_path / "other.png"
    link(other, street)  # type: ignore[operator]
    before = street.read_bytes()
    for output in (street, other, tmp_path / "x/../street.png"):
        with pytest.raises(OutputError, match="the input itself"):
            derainer.derain_file(street, output, overwrite=True)
    assert street.read_bytes() == before


def test_an_output_that_came_meanwhile_is_not_replaced(
    derainer: Derainer, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "it.png"
    derain = Network.derain

    def slow_derain(self: Network, *arguments: Any) -> Any:
        output.touch()
        return derain(self, *arguments)

    monkeypatch.setattr(Network, "derain", slow_derain)
    with pytest.raises(OutputError, match="another process wrote it"):
        derainer.derain_file(street, output)
    assert sorted(os.listdir(tmp_path)) == ["it.png", "street.png"]  # noqa: PTH208
    assert output.stat().st_size == 0


def test_a_suffix_asks_for_its_format_and_must_fit_one(
    derainer: Derainer, street: Path, tmp_path: Path
) -> None:
    record = derainer.derain_file(street, tmp_path / "it.tif")
    with Image.open(str(record.output)) as image:
        assert image.format == "TIFF"
    with pytest.raises(OutputError, match=r"\.gif"):
        derainer.derain_file(street, tmp_path / "it.gif")
    with pytest.raises(OutputError, match="does not fit"):
        derainer.derain_file(street, tmp_path / "it.webp", options=DerainOptions(format="png"))


def test_a_missing_source_and_a_folder_are_named(derainer: Derainer, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no file .*gone\.jpg"):
        derainer.derain_file(tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match="cannot be read"):
        derainer.derain_file(tmp_path, tmp_path / "it.jpg")
    with pytest.raises(OutputError, match="is a folder"):
        derainer.derain_file(
            tmp_path / "gone.jpg", tmp_path, overwrite=True, options=DerainOptions(format="jpg")
        )


def test_quality_and_the_largest_size_are_those_that_are_asked_for(
    derainer: Derainer, tmp_path: Path, rng: np.random.Generator
) -> None:
    source = tmp_path / "street.jpg"
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(source, quality=95)
    kept = derainer.derain_file(source, tmp_path / "kept.jpg").output
    options = DerainOptions(quality=20)
    small = derainer.derain_file(source, tmp_path / "small.jpg", options=options).output
    assert small is not None
    assert kept is not None
    assert small.stat().st_size < kept.stat().st_size / 2
    with pytest.raises(ImageError, match="more than 4,095"):
        derainer.derain_file(source, tmp_path / "never.jpg", options=DerainOptions(max_pixels=4095))
    assert not (tmp_path / "never.jpg").exists()
