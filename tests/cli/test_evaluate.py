"""`crdnet evaluate`, from its arguments to its exit code."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from crdnet.cli import main
from crdnet.runtime import ModelInfo


class Crdnet:
    """Runs the command in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """Return the exit code, what came on stdout and what came on stderr."""
        self.monkeypatch.setattr(sys, "argv", ["crdnet", "evaluate", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = self.capsys.readouterr()
        assert isinstance(exit_.value.code, int)
        return exit_.value.code, out, err


@pytest.fixture
def crdnet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Crdnet:
    return Crdnet(monkeypatch, capsys)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data set of three scenes, whose rain is 20 grey levels on every pixel."""
    rng = np.random.default_rng(0)
    root = tmp_path / "set"
    for folder in ("input", "target"):
        (root / folder).mkdir(parents=True)
    for number in range(3):
        clean = rng.integers(40, 200, (40, 44, 3), dtype=np.uint8)
        Image.fromarray(clean).save(root / "target" / f"{number}.png")
        Image.fromarray(clean + np.uint8(20)).save(root / "input" / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes 15 grey levels away, whatever the image."""
    sides: list[str | int | None] = ["batch", 3, "height", "width"]
    graph = helper.make_graph(
        [helper.make_node("Sub", ["rainy", "fifteen"], ["derained"])],
        "darker",
        [helper.make_tensor_value_info("rainy", TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info("derained", TensorProto.FLOAT, sides)],
        [helper.make_tensor("fifteen", TensorProto.FLOAT, [], [15 / 255])],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    info = ModelInfo(name="darker", size_multiple=8, margin=8, version="1", training_data="none")
    helper.set_model_props(proto, info.to_metadata())
    path = tmp_path_factory.mktemp("model") / "darker.onnx"
    onnx.save(proto, path)
    return path


def test_a_model_is_scored_before_and_after_and_nothing_is_asked_for_but_the_data(
    crdnet: Crdnet, root: Path, model: Path
) -> None:
    code, out, err = crdnet("--data", root, "--model", model)
    assert (code, err) == (0, "")
    headings, total, medium = out.splitlines()
    assert headings.split()[:2] == ["protocol", "rain"]
    assert total.split()[:4] == ["restormer-y", "all", "3", "3"]
    assert medium.split()[:2] == ["restormer-y", "medium"]
    # 20 levels become 5: about 12 dB, but for Y's rounding.
    gain = float(total.split("+")[1].split()[0])
    assert gain == pytest.approx(12.04, abs=0.3)


def test_every_report_tells_the_same(
    crdnet: Crdnet, root: Path, model: Path, tmp_path: Path
) -> None:
    out_file, csv_file, markdown = (
        tmp_path / "all.json",
        tmp_path / "new" / "a.csv",
        tmp_path / "a.md",
    )
    protocols = ["--protocol", "crdnet", "--protocol", "toolbox-rgb"]
    reports = ["-o", out_file, "--csv", csv_file, "--markdown", markdown]
    code, out, _ = crdnet(
        "--data", root, "-m", model, "-j", 2, "--tile", 0, "--json", *protocols, *reports
    )
    assert code == 0
    document = json.loads(out)
    assert json.loads(out_file.read_text()) == document
    assert document["about"]["model"] == str(model)
    assert {row["protocol"] for row in document["summary"]} == {"crdnet", "toolbox-rgb"}
    # A constant error of 5 and of 20 grey levels.
    means = {name: document["summary"][0][name]["mean"] for name in ("psnr_rainy", "psnr")}
    assert means == pytest.approx({"psnr_rainy": 22.1102, "psnr": 34.1514}, abs=1e-3)
    lines = list(csv.DictReader(csv_file.read_text().splitlines()))
    assert len(lines) == 3 * 2
    assert float(lines[0]["psnr"]) == pytest.approx(34.1514, abs=1e-3)
    assert "34.15" in markdown.read_text()


def test_saved_images_score_the_same_as_the_model_that_made_them(
    crdnet: Crdnet, root: Path, model: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    code, table, _ = crdnet("--data", root, "-m", model, "--save", saved)
    assert code == 0
    assert sorted(path.name for path in saved.rglob("*.png")) == ["0.png", "1.png", "2.png"]
    assert crdnet("--data", root, "--results", saved) == (0, table, "")
    code, out, _ = crdnet(
        "--results", saved / "input", "--target", root / "target", "--rainy", root / "input"
    )
    assert (code, out) == (0, table)
    code, out, _ = crdnet("--results", saved / "input", "--target", root / "target")
    assert code == 0
    assert "rainy" not in out


def test_a_bad_pair_is_named_the_rest_is_scored_and_the_exit_code_is_1(
    crdnet: Crdnet, root: Path, model: Path
) -> None:
    (root / "input" / "1.png").write_bytes(b"broken")
    (root / "target" / "2.png").unlink()
    code, out, err = crdnet("--data", root, "-m", model)
    assert code == 1
    assert out.splitlines()[1].split()[:3] == ["restormer-y", "all", "1"]
    first, second = err.splitlines()
    assert str(root / "input" / "2.png") in first
    assert str(root / "input" / "1.png") in second


def test_where_no_image_can_be_scored_there_is_no_table(
    crdnet: Crdnet, root: Path, model: Path
) -> None:
    for path in (root / "input").iterdir():
        path.write_bytes(b"broken")
    code, out, err = crdnet("--data", root, "-m", model)
    assert (code, out, len(err.splitlines())) == (1, "", 3)


def test_outputs_that_exist_are_refused_before_work_and_replaced_when_asked(
    crdnet: Crdnet, root: Path, model: Path, tmp_path: Path
) -> None:
    report, saved = tmp_path / "report.csv", tmp_path / "saved"
    arguments = ["--data", root, "-m", model, "--csv", report, "--save", saved]
    report.write_text("mine")
    code, out, err = crdnet(*arguments)
    assert (code, out) == (1, "")
    assert "report.csv exists" in err
    assert report.read_text() == "mine"
    assert not saved.exists()
    assert crdnet(*arguments, "--overwrite")[0] == 0
    assert report.read_text().startswith("name,")
    report.unlink()
    code, _, err = crdnet(*arguments)
    assert code == 1
    assert f"{saved / 'input' / '0.png'} and 2 more of the outputs exist" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to score"),
        (["--results", "r"], "either --target or --data"),
        (["--results", "r", "--target", "t", "--data", "d"], "either --target or --data"),
        (["--data", "d", "--target", "t"], "--target needs --results"),
        (["--data", "d", "--rainy", "t"], "--rainy needs"),
        (["--data", "d", "--results", "r", "--rainy", "t"], "--rainy needs --target"),
        (["--results", "r", "--target", "t", "--save", "s"], "--save is for running a model"),
        (["--results", "r", "--target", "t", "-m", "best"], "--model is for running a model"),
        (["--results", "r", "--target", "t", "--layout", "folders"], "--layout needs --data"),
        (["--data", "d", "--protocol", "psnr"], "restormer-y"),
        (["--data", "d", "--layout", "psnr"], "rainy-clean"),
        (["--data", "d", "--tile", "-1"], "neither auto nor a number from 0"),
        (["--data", "d", "-o", "x", "--csv", "x"], "two reports cannot share a file"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_what_is_right(
    crdnet: Crdnet, arguments: list[str], message: str
) -> None:
    code, out, err = crdnet(*arguments)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())


def test_a_missing_data_set_or_model_is_one_line_and_exit_code_1(
    crdnet: Crdnet, root: Path, tmp_path: Path
) -> None:
    code, _, err = crdnet("--data", tmp_path / "nowhere")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "nowhere" in err
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    code, _, err = crdnet("--data", root, "-m", tmp_path / "bad.onnx")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "bad.onnx" in err


def test_a_terminal_sees_a_bar_on_stderr_and_a_table_on_stdout(
    crdnet: Crdnet, root: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    for stream in (sys.stderr, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    code, out, err = crdnet("--data", root, "-m", model)
    assert code == 0
    assert "3 of 3" in err
    assert "│" in out
    assert crdnet("--data", root, "-m", model, "-q")[2] == ""


def test_scoring_imports_neither_torch_nor_what_it_does_not_draw() -> None:
    probe = (
        "import sys, crdnet.metrics, crdnet.evaluation, crdnet.cli.evaluate;"
        "print({'torch', 'rich', 'onnxruntime', 'scipy', 'skimage'} & set(sys.modules))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "set()"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A folder of 12 frames of one scene, each with a streak of 50 grey levels at another place."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "clip"
    folder.mkdir()
    clean = rng.integers(60, 120, (40, 48, 3), dtype=np.uint8)
    for number in range(12):
        frame = clean.copy()
        frame[5:25, 3 + 3 * number] += 50
        Image.fromarray(frame).save(folder / f"{number:02d}.png")
    return folder


def test_clips_of_real_rain_are_scored_against_their_median(
    crdnet: Crdnet, clip: Path, model: Path, tmp_path: Path
) -> None:
    code, out, _ = crdnet("--clip", clip, "--model", model, "--save", tmp_path / "looks", "--json")
    report = json.loads(out)
    assert code == 0
    # Of a streak of 50 levels 15 are taken away, as everywhere.
    assert report["clips"][0]["left"]["mean"] == pytest.approx(0.7, abs=0.02)
    assert report["clips"][0]["dry_change"] == pytest.approx(15, abs=0.5)
    assert report["mean_left"] == report["clips"][0]["left"]["mean"]
    with Image.open(tmp_path / "looks" / "clip.png") as look:
        assert look.size == (3 * 48, 40)
    code, out, _ = crdnet("--clip", clip, "--model", model)
    assert code == 0
    assert " 0.70 " in out


def test_a_clip_that_cannot_be_scored_is_named_and_the_others_are_scored(
    crdnet: Crdnet, clip: Path, model: Path, tmp_path: Path
) -> None:
    code, out, err = crdnet("--clip", tmp_path / "none.mp4", "--clip", clip, "--model", model)
    assert code == 1
    assert "none.mp4: there is no such clip" in err
    assert " 0.70 " in out


def test_clips_do_not_go_with_pairs(crdnet: Crdnet, clip: Path, root: Path) -> None:
    code, _, err = crdnet("--clip", clip, "--data", root)
    assert code == 2
    assert "--data is for pairs of images and cannot be combined with --clip" in err
