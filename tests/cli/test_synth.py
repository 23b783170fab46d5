import csv
import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from crdnet.cli.synth import command
from crdnet.data import check, find_pairs
from crdnet.density import RainDensity
from crdnet.errors import CRDNetError

HEIGHT, WIDTH = 60, 80


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photographs, one of them in a folder."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for seed, name in enumerate(("1.png", "2.jpg", "sub/1.png")):
        coarse = np.random.default_rng(seed).integers(20, 180, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(
            folder / name
        )
    return folder


def run(*arguments: str | Path) -> Result:
    """Run the command as `main` does, which turns errors of ours into exit code 1."""
    result = CliRunner().invoke(command, list(map(str, arguments)), standalone_mode=False)
    if isinstance(result.exception, CRDNetError):
        result.exit_code = 1
    return result


def code(*arguments: str | Path) -> int:
    result = run(*arguments)
    if result.exception is not None:
        return (
            1
            if isinstance(result.exception, CRDNetError)
            else getattr(result.exception, "exit_code", 3)
        )
    assert isinstance(result.return_value, int)
    return result.return_value


def pixels(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256(
            np.asarray(Image.open(path)).tobytes()
        ).hexdigest()
        for kind in ("input", "target", "streaks")
        for path in sorted((folder / kind).rglob("*.*g"))
    }


def test_pairs_are_read_by_find_pairs_and_pass_the_doctor(photos: Path, tmp_path: Path) -> None:
    result = run(photos, "-o", tmp_path / "pairs", "-r")
    assert result.return_value == 0
    assert result.stdout.startswith(f"{tmp_path / 'pairs'}: 3 pairs (")
    assert result.stderr == ""
    report = check(tmp_path / "pairs")
    assert report.healthy
    assert (report.pairs, report.layout) == (3, "list")
    clean = {pair.name: pair.load().clean for pair in find_pairs(tmp_path / "pairs")}
    assert np.array_equal(clean["input/sub/1.png"], np.asarray(Image.open(photos / "sub/1.png")))


def test_variants_of_a_photo_share_its_target_and_are_one_scene(
    photos: Path, tmp_path: Path
) -> None:
    assert code(photos, "-o", tmp_path / "pairs", "--per-photo", "3") == 0
    pairs = find_pairs(tmp_path / "pairs")
    assert len(pairs) == 6
    assert {pair.scene for pair in pairs} == {"target/1", "target/2"}
    rainy = {pair.load().rainy.tobytes() for pair in pairs}
    assert len(rainy) == 6


@pytest.mark.parametrize("density", ["none", "light", "medium", "heavy"])
def test_labels_and_manifest_say_what_the_images_hold(
    photos: Path, tmp_path: Path, density: str
) -> None:
    pairs = tmp_path / "pairs"
    assert code(photos, "-o", pairs, "--density", density, "--seed", "5") == 0
    with (pairs / "labels.csv").open() as file:
        labels = {row["rainy"]: row for row in csv.DictReader(file)}
    manifest = json.loads((pairs / "manifest.json").read_text())
    assert (manifest["seed"], manifest["density"], len(manifest["pairs"])) == (5, density, 2)
    loaded = {pair.name: pair.load() for pair in find_pairs(pairs)}
    for record in manifest["pairs"]:
        pair = loaded[record["rainy"]]
        assert pair.density is RainDensity[density.upper()]
        assert record["density"] == labels[record["rainy"]]["density"] == density
        assert record["sha256"] == sha256(pair.rainy.tobytes()).hexdigest()
        assert float(labels[record["rainy"]]["intensity"]) == record["intensity"]


def test_the_same_seed_gives_the_same_pixels_in_any_company(photos: Path, tmp_path: Path) -> None:
    assert code(photos, "-o", tmp_path / "all", "-r", "--seed", "3") == 0
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(photos / "2.jpg", alone)
    assert code(alone, "-o", tmp_path / "one", "--seed", "3") == 0
    assert code(alone, "-o", tmp_path / "other", "--seed", "4") == 0
    everything = pixels(tmp_path / "all")
    assert pixels(tmp_path / "one").items() <= everything.items()
    assert pixels(tmp_path / "other")["input/2.png"] != everything["input/2.png"]


def test_a_run_goes_on_where_it_was(photos: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs"
    assert code(photos, "-o", pairs, "-r") == 0
    whole, manifest = pixels(pairs), (pairs / "manifest.json").read_bytes()
    (pairs / "input/1.png").unlink()
    untouched = (pairs / "input/2.png").stat().st_mtime_ns
    assert code(photos, "-o", pairs, "-r") == 0
    assert pixels(pairs) == whole
    assert (pairs / "manifest.json").read_bytes() == manifest
    assert (pairs / "input/2.png").stat().st_mtime_ns == untouched


def test_a_run_that_was_killed_can_be_resumed(photos: Path, tmp_path: Path) -> None:
    assert code(photos, "-o", tmp_path / "whole", "-r") == 0
    pairs = tmp_path / "pairs"
    assert code(photos, "-o", pairs, "-r") == 0
    # As after a kill before the manifest was saved again: images that it does not know.
    manifest = json.loads((pairs / "manifest.json").read_text())
    (pairs / "manifest.json").write_text(json.dumps({**manifest, "pairs": manifest["pairs"][:1]}))
    assert code(photos, "-o", pairs, "-r") == 0
    assert pixels(pairs) == pixels(tmp_path / "whole")
    assert (pairs / "manifest.json").read_bytes() == (tmp_path / "whole/manifest.json").read_bytes()


def test_other_options_do_not_mix_with_pairs_that_exist(photos: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs"
    assert code(photos, "-o", pairs, "--per-photo", "2") == 0
    before = pixels(pairs)
    result = run(photos, "-o", pairs, "--seed", "1")
    assert result.exit_code == 1
    assert "another per_photo and seed" in str(result.exception)
    assert pixels(pairs) == before
    assert code(photos, "-o", pairs, "--seed", "1", "--overwrite") == 0
    assert sorted(pixels(pairs)) == sorted(
        f"{kind}/{name}.png" for kind in ("input", "target", "streaks") for name in "12"
    )


def test_a_folder_of_unknown_origin_is_left_alone(photos: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "pairs" / "target" / "mine.png"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"precious")
    assert code(photos, "-o", tmp_path / "pairs") == 1
    (tmp_path / "pairs" / "manifest.json").write_text("[]")
    assert code(photos, "-o", tmp_path / "pairs") == 1
    assert sorted(path.name for path in (tmp_path / "pairs").rglob("*.*")) == [
        "manifest.json",
        "mine.png",
    ]


def test_a_manifest_cannot_have_files_elsewhere_removed(photos: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious.png"
    precious.write_bytes(b"precious")
    (tmp_path / "pairs").mkdir()
    record = {"rainy": "../precious.png", "clean": "../precious.png", "streaks": str(precious)}
    (tmp_path / "pairs" / "manifest.json").write_text(json.dumps({"pairs": [record]}))
    assert code(photos, "-o", tmp_path / "pairs", "--overwrite") == 0
    assert precious.read_bytes() == b"precious"


def test_a_bad_photo_is_named_and_the_others_are_done(photos: Path, tmp_path: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"broken")
    result = run(photos, "-o", tmp_path / "pairs", "--per-photo", "2")
    assert result.return_value == 1
    assert result.stderr.count("bad.jpg") == 1
    assert len(find_pairs(tmp_path / "pairs")) == 4


def test_photos_whose_pairs_would_share_a_name_are_named(photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "1.png", photos / "1.webp")
    result = run(photos, "-o", tmp_path / "pairs")
    assert result.return_value == 1
    assert "1.webp: its pair would be called like that of 1.png" in result.stderr
    assert len(find_pairs(tmp_path / "pairs")) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes any bytes for a name")
def test_names_that_are_no_text_are_done_and_shown_as_escapes(photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "1.png", photos / "a\udcff.png")
    (photos / "b\udcff.png").write_bytes(b"broken")
    result = run(photos, "-o", tmp_path / "pairs")
    assert result.return_value == 1
    assert r"b\udcff.png" in result.stderr
    assert len(find_pairs(tmp_path / "pairs")) == 3


def test_jpg_files_are_compressed_once(photos: Path, tmp_path: Path) -> None:
    assert code(photos, "-o", tmp_path / "jpg", "--format", "jpg", "--jpeg", "70") == 0
    assert code(photos, "-o", tmp_path / "png", "--jpeg", "70") == 0
    jpg, png = pixels(tmp_path / "jpg"), pixels(tmp_path / "png")
    assert {name.replace(".jpg", ".png"): digest for name, digest in jpg.items()} == png
    manifest = json.loads((tmp_path / "jpg/manifest.json").read_text())
    assert manifest["jpeg"] == 70
    decoded = np.asarray(Image.open(tmp_path / "jpg/input/1.jpg"))
    assert manifest["pairs"][0]["sha256"] == sha256(decoded.tobytes()).hexdigest()


def test_streak_images_of_a_folder_are_used(photos: Path, tmp_path: Path) -> None:
    streaks = tmp_path / "layers"
    streaks.mkdir()
    layer = np.zeros((HEIGHT, WIDTH), np.uint8)
    layer[::20, ::9] = layer[1::20, ::9] = layer[2::20, ::9] = 220
    Image.fromarray(layer).save(streaks / "a.png")
    assert code(photos, "-o", tmp_path / "pairs", "--streaks", streaks, "--per-photo", "12") == 0
    manifest = json.loads((tmp_path / "pairs/manifest.json").read_text())
    kinds = {layer["kind"] for record in manifest["pairs"] for layer in record["spec"]["layers"]}
    assert "PhotorealStreaks" in kinds
    assert code(photos, "-o", tmp_path / "other", "--streaks", tmp_path / "none") == 1


@pytest.mark.parametrize(("option", "scale"), [("auto", 1.0), ("2.5", 2.5)])
def test_scale_reaches_the_rain(photos: Path, tmp_path: Path, option: str, scale: float) -> None:
    assert code(photos, "-o", tmp_path / "pairs", "--scale", option) == 0
    manifest = json.loads((tmp_path / "pairs/manifest.json").read_text())
    assert {record["spec"]["scale"] for record in manifest["pairs"]} == {scale}


def test_nothing_to_rain_on_is_1(tmp_path: Path, photos: Path) -> None:
    assert code(tmp_path / "none", "-o", tmp_path / "pairs") == 1
    (tmp_path / "empty").mkdir()
    assert code(tmp_path / "empty", "-o", tmp_path / "pairs") == 1
    shutil.move(photos / "sub", tmp_path / "deep" / "sub")
    result = run(tmp_path / "deep", "-o", tmp_path / "pairs")
    assert "--recursive" in str(result.exception)
    assert not (tmp_path / "pairs").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--scale", "0"],
        ["--scale", "big"],
        ["--jpeg", "101"],
        ["--jpeg", "some"],
        ["--format", "jpg", "--jpeg", "none"],
        ["--density", "torrential"],
        ["--per-photo", "0"],
        ["--seed", "-1"],
    ],
)
def test_wrong_usage_is_2(photos: Path, tmp_path: Path, arguments: list[str]) -> None:
    assert code(photos, "-o", tmp_path / "pairs", *arguments) == 2
    assert not (tmp_path / "pairs").exists()


def test_pairs_never_lie_among_the_photos(photos: Path, tmp_path: Path) -> None:
    assert code(photos, "-o", photos / "pairs") == 2
    assert code(photos, "-o", photos) == 2
    (tmp_path / "set").mkdir()
    shutil.move(photos, tmp_path / "set" / "target")
    assert code(tmp_path / "set" / "target", "-o", tmp_path / "set") == 2


def test_quiet_says_nothing(photos: Path, tmp_path: Path) -> None:
    result = run(photos, "-o", tmp_path / "pairs", "-q")
    assert (result.stdout, result.stderr) == ("", "")


@pytest.mark.parametrize(("broken", "expected"), [(False, 0), (True, 1)])
def test_the_command_line_ends_with_the_exit_code(
    photos: Path, tmp_path: Path, broken: bool, expected: int
) -> None:
    if broken:
        (photos / "bad.png").write_bytes(b"broken")
    probe = (
        "import sys; from crdnet.cli.main import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'rich'} & set(sys.modules), 'imported too much'"
    )
    ended = subprocess.run(
        [sys.executable, "-c", probe, "synth", photos, "-o", tmp_path / "pairs"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        check=False,
    )
    assert ended.returncode == expected, ended.stderr
    assert ("bad.png" in ended.stderr) is broken


def test_camera_rain_follows_from_rate_exposure_and_focal_length(
    photos: Path, tmp_path: Path
) -> None:
    options = ("--camera", "--rate", "60", "--exposure", "1/500", "--focal", "50")
    assert code(photos, "-o", tmp_path / "a", "-r", *options) == 0
    assert code(photos, "-o", tmp_path / "b", "-r", *options) == 0
    assert pixels(tmp_path / "a") == pixels(tmp_path / "b")
    record = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert record["camera"]["exposure_seconds"] == 1 / 500
    assert record["pairs"][0]["spec"]["kind"] == "CameraRain"
    rainy, clean = (
        np.asarray(Image.open(tmp_path / "a" / kind / "1.png")).astype(int)
        for kind in ("input", "target")
    )
    assert (rainy - clean).max() > 20


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--camera", "--density", "heavy"), "--density cannot be combined with --camera"),
        (("--rate", "10"), "--rate needs --camera"),
        (("--camera", "--exposure", "fast"), "is not a time in seconds"),
        (("--camera", "--rate", "-3"), "millimetres_per_hour of camera rain lies in 0.1 to 200"),
    ],
)
def test_wrong_camera_options_are_named(
    photos: Path, tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    result = run(photos, "-o", tmp_path / "pairs", *options)
    assert says in str(result.exception)
    assert not (tmp_path / "pairs").exists()
