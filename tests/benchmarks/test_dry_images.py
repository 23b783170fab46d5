"""The benchmark of dry images, and its list, tried on a few drawn images."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.benchmarks.test_benchmarks import BENCHMARKS, run
from tests.cli.sensing_model import write_sensing_model

KINDS = {"photographs", "facades", "charts", "documents", "drawings", "screenshots", "textures"}


@pytest.fixture
def rows() -> list[dict[str, str]]:
    with (BENCHMARKS / "quality" / "dry_images.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_kind_has_forty_images_or_more_each_with_a_licence(
    rows: list[dict[str, str]],
) -> None:
    assert len({row["file"] for row in rows}) == len(rows)
    kinds = Counter(row["kind"] for row in rows)
    assert set(kinds) == KINDS
    assert min(kinds.values()) >= 40
    assert all(row["licence"] and row["file"].startswith(row["kind"]) for row in rows)


def test_nothing_comes_from_the_folders_of_training(rows: list[dict[str, str]]) -> None:
    from_data = {row["member"].rsplit("/", 1)[0] for row in rows if row["source"] == "data"}
    assert from_data == {"val_synth/clean", "rain800/val", "detect/images", "video/dry"}


def test_no_package_gives_images_to_training_and_to_this_benchmark(
    rows: list[dict[str, str]],
) -> None:
    with (BENCHMARKS / "quality" / "dry_training.csv").open(newline="") as file:
        trained = list(csv.DictReader(file))
    assert len({row["file"] for row in trained}) == len(trained) > 400
    packages = [{row["source"].split("=")[0] for row in among} for among in (rows, trained)]
    assert not packages[0] & packages[1]


def test_packages_are_named_in_fixed_versions(rows: list[dict[str, str]]) -> None:
    packages = {row["source"] for row in rows} - {"data", "drawn:charts", "drawn:pages"}
    assert packages
    assert all("=" in package and package.startswith(("debian:", "pypi:")) for package in packages)


def test_images_are_counted_by_kind_and_the_harmed_ones_listed(tmp_path: Path) -> None:
    model = str(write_sensing_model(tmp_path / "sensing.onnx"))
    (tmp_path / "images.csv").write_text("file,kind\na.png,charts\nb.png,charts\nc.png,textures\n")
    for name, grey in (("a", 0), ("b", 255), ("c", 0)):
        Image.new("RGB", (64, 64), (grey, grey, grey)).save(tmp_path / f"{name}.png")
    result = run(
        "quality.dry_images",
        "measure",
        str(tmp_path),
        "--model",
        model,
        "--csv",
        str(tmp_path / "outcomes.csv"),
    )
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[1][:6] == ["charts", "2", "1", "(", "50%)", "1"]
    assert lines[2][:2] == ["textures", "1"]
    assert lines[2][-3:] == ["inf", "inf", "0"]
    assert lines[3][:3] == ["all", "3", "1"]
    assert "below 36 dB: 1" in result.stdout
    assert result.stdout.splitlines()[-1].endswith("b.png")
    with (tmp_path / "outcomes.csv").open(newline="") as file:
        assert [row["left_alone"] for row in csv.DictReader(file)] == ["True", "False", "True"]


def test_the_collection_holds_drawings_and_parts_of_data(tmp_path: Path) -> None:
    pair = np.zeros((50, 80, 3), np.uint8)
    pair[:, :40] = 200
    (tmp_path / "rain800" / "val").mkdir(parents=True)
    Image.fromarray(pair).save(tmp_path / "rain800" / "val" / "1.png")
    manifest = tmp_path / "list.csv"
    manifest.write_text(
        "file,kind,source,member,licence\n"
        "documents/page.png,documents,drawn:pages,letter#3,of this repository\n"
        "photographs/1.png,photographs,data,rain800/val/1.png#left,research use\n"
    )
    out = tmp_path / "dry"
    command = "quality.dry_images", "collect", str(out), "--manifest", str(manifest)
    result = run(*command)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("1 of 2 images")
    result = run(*command, "--data", str(tmp_path))
    assert result.returncode == 0, result.stderr
    half = np.asarray(Image.open(out / "photographs" / "1.png"))
    np.testing.assert_array_equal(half, np.full((50, 40, 3), 200))
    with (out / "images.csv").open(newline="") as file:
        assert [row["kind"] for row in csv.DictReader(file)] == ["documents", "photographs"]
