"""`crdnet sense`, and what `crdnet derain` does with images that are dry."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.runner import Crdnet
from tests.cli.sensing_model import write_sensing_model
from tests.runtime.tiny import write_tiny_model
from tests.waiting import HANG_SECONDS


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sensing_model(tmp_path_factory.mktemp("models") / "sensing.onnx")


@pytest.fixture
def crdnet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Crdnet:
    return Crdnet(monkeypatch, capsys)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images that the model calls dry, of medium rain (intensity 20), and of heavy rain."""
    monkeypatch.chdir(tmp_path)
    for name, level in {
        "dry.jpg": 0,
        "photos/medium.png": 51,
        "photos/deep/heavy.png": 255,
    }.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((24, 40, 3), level, np.uint8)).save(name)


def records(out: str) -> dict[str, dict[str, object]]:
    return {record["input"]: record for record in map(json.loads, out.splitlines())}


def test_each_image_gets_a_line(crdnet: Crdnet, model: Path) -> None:
    done = crdnet("sense", "photos", "dry.jpg", "-r", "-m", model)
    assert done.code == 0
    assert sorted(done.out.splitlines()) == [
        "dry.jpg: none, intensity 0, score 0.00 (none 99 %, light 1 %)",
        "photos/deep/heavy.png: heavy, intensity 1e+02, score 0.91 (heavy 100 %)",
        "photos/medium.png: medium, intensity 20, score 0.67 (light 1 %, medium 92 %, heavy 7 %)",
    ]
    assert "3 done" in done.err


def test_json_tells_numbers(crdnet: Crdnet, model: Path) -> None:
    done = crdnet("sense", "photos", "-r", "gone.png", "--json", "-m", model)
    assert done.code == 1
    told = records(done.out)
    assert told["gone.png"]["status"] == "failed"
    assert told["gone.png"]["density"] is None
    medium = told["photos/medium.png"]
    assert medium["status"] == "done"
    assert medium["density"] == "medium"
    assert medium["intensity"] == pytest.approx(20)
    assert medium["score"] == pytest.approx(2 / 3, abs=1e-4)
    assert medium["scale"] == 1
    assert "float" in str(medium["engine"])
    assert (medium["width"], medium["height"]) == (40, 24)
    probabilities = medium["probabilities"]
    assert isinstance(probabilities, dict)
    assert list(probabilities) == ["none", "light", "medium", "heavy"]
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-3)
    assert "output" not in medium


def test_a_pipe_and_a_list_are_sensed(model: Path) -> None:
    command = [sys.executable, "-m", "crdnet.cli", "sense", "-m", str(model)]
    piped = subprocess.run(
        [*command, "-"],
        input=Path("dry.jpg").read_bytes(),
        capture_output=True,
        timeout=HANG_SECONDS,
        check=True,
    )
    assert piped.stdout.startswith(b"-: none, intensity 0")
    listed = subprocess.run(
        [*command, "--files-from", "-"],
        input=b"dry.jpg\n",
        capture_output=True,
        timeout=HANG_SECONDS,
        check=True,
    )
    assert listed.stdout.startswith(b"dry.jpg: none")


@pytest.mark.parametrize(
    "arguments", [[], ["-", "dry.jpg"], ["dry.jpg", "-m", "nope"], ["dry.jpg", "-o", "x"]]
)
def test_wrong_usage_of_sense_is_one_line(crdnet: Crdnet, arguments: list[str]) -> None:
    done = crdnet("sense", *arguments)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1


def test_a_model_that_does_not_sense_is_wrong_usage(crdnet: Crdnet, tmp_path: Path) -> None:
    done = crdnet("sense", "dry.jpg", "-m", write_tiny_model(tmp_path / "tiny.onnx"))
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert "'tiny' does not sense rain" in done.err


def test_a_dry_image_comes_out_byte_for_byte(crdnet: Crdnet, model: Path) -> None:
    done = crdnet("derain", "dry.jpg", "photos", "-o", "clean", "-m", model)
    assert done.code == 0
    assert "dry.jpg -> clean/dry.jpg  (density: none, left as it was)" in done.out.splitlines()
    assert "photos/medium.png -> clean/medium.png  (density: medium)" in done.out.splitlines()
    assert "1 done, 1 dry in" in done.err
    assert Path("clean/dry.jpg").read_bytes() == Path("dry.jpg").read_bytes()
    assert np.asarray(Image.open("clean/medium.png")).max() == 26


def test_a_dry_image_in_another_format_keeps_its_pixels(crdnet: Crdnet, model: Path) -> None:
    Image.fromarray(np.eye(40, dtype=np.uint8)).save("almost.png")
    done = crdnet("derain", "almost.png", "dry.jpg", "--format", "webp", "--json", "-m", model)
    assert {record["status"] for record in records(done.out).values()} == {"dry"}
    with Image.open("almost_derained.webp") as image:
        assert image.format == "WEBP"
        np.testing.assert_array_equal(np.asarray(image.convert("L")), np.eye(40, dtype=np.uint8))
    assert crdnet("derain", "dry.jpg", "--format", "jpg", "-m", model).code == 0
    assert Path("dry_derained.jpg").read_bytes() == Path("dry.jpg").read_bytes()


def test_dry_images_are_derained_on_request(crdnet: Crdnet, model: Path) -> None:
    Image.fromarray(np.eye(40, dtype=np.uint8)).save("almost.png")
    done = crdnet("derain", "almost.png", "--always", "--json", "-o", "out.png", "-m", model)
    assert records(done.out)["almost.png"]["status"] == "done"
    assert records(done.out)["almost.png"]["density"] == "none"
    assert np.asarray(Image.open("out.png")).max() == 0


def test_with_a_model_that_does_not_sense_nothing_is_guessed(
    crdnet: Crdnet, tmp_path: Path
) -> None:
    tiny = write_tiny_model(tmp_path / "tiny.onnx")
    done = crdnet("derain", "dry.jpg", "--json", "-m", tiny)
    record = records(done.out)["dry.jpg"]
    assert record["status"] == "done"
    assert [record[key] for key in ("density", "probabilities", "score", "intensity", "scale")] == [
        None
    ] * 5


def test_the_rain_is_saved_beside_the_result(crdnet: Crdnet, model: Path) -> None:
    done = crdnet(
        "derain",
        "photos/deep/heavy.png",
        "-o",
        "out.png",
        "--rain",
        "rain.png",
        "--json",
        "-m",
        model,
    )
    assert records(done.out)["photos/deep/heavy.png"]["rain"] == "rain.png"
    rain = np.asarray(Image.open("rain.png")).astype(int)
    np.testing.assert_array_equal(rain + np.asarray(Image.open("out.png")), 255)
    done = crdnet(
        "derain", "photos", "dry.jpg", "-r", "-o", "clean", "--rain", "rain/", "-m", model
    )
    assert done.code == 0
    assert sorted(str(path.relative_to("rain")) for path in Path("rain").rglob("*.png")) == [
        "deep/heavy.png",
        "dry.png",
        "medium.png",
    ]
    assert np.asarray(Image.open("rain/dry.png")).max() == 0


def test_rain_that_exists_is_not_replaced_unasked(crdnet: Crdnet, model: Path) -> None:
    Path("rain").mkdir()
    Path("rain/medium.png").write_text("mine")
    for _ in range(
        2
    ):  # that the first run wrote the others down must not make the second take it for ours
        done = crdnet("derain", "photos", "-r", "-o", "clean", "--rain", "rain", "-m", model)
        assert done.code == 1
        assert "rain/medium.png exists" in done.error_lines[0]
    assert Path("rain/medium.png").read_text() == "mine"
    assert not Path("clean/medium.png").exists()
    assert Path("rain/deep/heavy.png").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["dry.jpg", "--rain", "dry.jpg"],
        ["dry.jpg", "photos/medium.png", "--rain", "rain.png"],
        ["photos", "-o", "clean", "-r", "--rain", "clean"],
        ["photos/medium.png", "--rain", "photos/medium.png", "--overwrite"],
        ["-", "-o", "out.png", "--rain", "rain"],
    ],
)
def test_rain_without_a_place_of_its_own_is_refused(
    crdnet: Crdnet, model: Path, arguments: list[str]
) -> None:
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    done = crdnet("derain", *arguments, "-m", model)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_a_place_is_taken_out_of_dry_images_too(crdnet: Crdnet, model: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "maker"
    exif.get_ifd(0x8825)[1] = "N"
    Image.new("RGB", (40, 24)).save("placed.jpg", exif=exif)
    assert crdnet("derain", "placed.jpg", "-o", "kept.jpg", "-m", model).code == 0
    assert Path("kept.jpg").read_bytes() == Path("placed.jpg").read_bytes()
    for more in ([], ["--always"]):
        done = crdnet(
            "derain",
            "placed.jpg",
            "-o",
            "clean.jpg",
            "--strip-gps",
            "--overwrite",
            *more,
            "-m",
            model,
        )
        assert done.code == 0
        with Image.open("clean.jpg") as image:
            assert image.getexif()[0x010F] == "maker"
            assert not image.getexif().get_ifd(0x8825)
