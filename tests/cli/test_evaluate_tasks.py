"""`crdnet evaluate --detections` and `--words`, from the arguments to the exit code."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.runner import Crdnet


@pytest.fixture
def crdnet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Crdnet:
    return Crdnet(monkeypatch, capsys)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A truth of three images with a box each; nothing but the first is found before."""
    images = [{"id": n, "file_name": f"{n}.png", "width": 64, "height": 64} for n in range(3)]
    box: dict[str, Any] = {"category_id": 1, "bbox": [8, 8, 20, 20]}
    after = [{"image_id": n, "score": 0.9, **box} for n in range(3)]
    contents: dict[str, Any] = {
        "truth": {
            "images": images,
            "categories": [{"id": 1, "name": "car"}],
            "annotations": [{"id": n, "image_id": n, **box} for n in range(3)],
        },
        "after": after,
        "before": after[:1],
        "words": {f"{n}.png": "stop" for n in range(3)},
        "read": {f"{n}.png": "" for n in range(3)},
    }
    paths = {name: tmp_path / f"{name}.json" for name in contents}
    for name, path in paths.items():
        path.write_text(json.dumps(contents[name]))
    return paths


def test_detections_give_a_table_a_verdict_and_the_reports(
    crdnet: Crdnet, files: dict[str, Path], tmp_path: Path
) -> None:
    arguments = ["evaluate", "--detections", files["before"], files["after"]]
    arguments += ["--truth", files["truth"], "--html", tmp_path / "r.html", "-o", tmp_path / "r"]
    done = crdnet(*arguments)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[1].split()[:5] == ["AP", "3", "33.7", "100.0", "+66.3"]
    assert lines[-1].startswith("No measurable difference: AP goes from 33.7 to 100.0")
    assert done.err.startswith("Note: 2 of 3 images have detections in")
    assert json.loads((tmp_path / "r").read_text())["verdict"] == "no measurable difference"
    assert 'class="found"' in (tmp_path / "r.html").read_text()
    assert "choose another place or use --overwrite" in crdnet(*arguments).err
    assert crdnet(*arguments, "--overwrite").code == 0


def test_words_are_compared_in_the_same_form(crdnet: Crdnet, files: dict[str, Path]) -> None:
    arguments = ["--words", files["read"], files["words"], "--truth", files["words"]]
    done = crdnet("evaluate", *arguments, "--json")
    assert (done.code, json.loads(done.out)["verdict"]) == (0, "helps")


def test_a_bad_file_is_one_line(crdnet: Crdnet, files: dict[str, Path]) -> None:
    files["after"].write_text('[{"image_id": 9, "category_id": 1, "bbox": [0, 0, 1, 1]}]')
    done = crdnet(
        "evaluate", "--detections", files["before"], files["after"], "--truth", files["truth"]
    )
    assert (done.code, len(done.error_lines)) == (1, 1)
    assert "detection 1: image_id 9 is not in the truth" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--detections", "a", "b"], "--detections needs its ground truth: --truth"),
        (["--words", "a", "b", "--truth", "t", "--images", "i"], "--images needs --detections"),
        (["--words", "a", "b", "--detections", "a", "b"], "cannot be combined"),
        (["--detections", "a", "b", "--truth", "t", "--csv", "c"], "--csv cannot be combined with"),
        (["--data", "d", "--truth", "t"], "--truth needs --detections"),
        (["--clip", "c", "--threshold", "0.5"], "--threshold is for"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    crdnet: Crdnet, arguments: list[str], message: str
) -> None:
    done = crdnet("evaluate", *arguments)
    assert (done.code, message in done.err) == (2, True), done.err
