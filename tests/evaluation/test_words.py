"""Words that were read before and after deraining."""

import json
from pathlib import Path

import pytest

from crdnet.errors import DataError
from crdnet.evaluation import Verdict, compare_word_files

TRUTH = {"a.png": "STOP, Main Street!", "b.png": ["exit", "exit", "12"]}


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_accuracy_is_the_share_of_words_read_and_precision_that_of_words_right(
    tmp_path: Path,
) -> None:
    before = write(tmp_path / "b.json", {"a.png": "stop strect", "b.png": "exit"})
    after = write(tmp_path / "a.json", {"a.png": "street main stop", "b.png": "exit exit exit"})
    report = compare_word_files(before, after, write(tmp_path / "t.json", TRUTH))
    accuracy, precision = report.changes
    assert (accuracy.before, accuracy.after, accuracy.truths) == (2 / 6, 5 / 6, 6)
    assert (precision.before, precision.after) == (2 / 3, 5 / 6)
    # Both images gain words, so every draw gains.
    assert report.verdict is Verdict.HELPS
    assert [item.label for item in report.images[0].found] == ["main", "street"]
    assert [item.label for item in report.images[1].missed] == ["12"]
    assert "main, street." in report.as_html()


def test_an_image_in_one_list_only_is_noted_and_an_unknown_one_refused(tmp_path: Path) -> None:
    truth = write(tmp_path / "t.json", TRUTH)
    one = write(tmp_path / "one.json", {"a.png": "stop"})
    both = write(tmp_path / "both.json", {"a.png": "stop", "b.png": ""})
    report = compare_word_files(one, both, truth)
    assert report.notes[0] == (
        f"1 of 2 images are not in {one}, first b.png; they count as images where nothing was read"
    )
    with pytest.raises(DataError, match=r"image 'c\.png' is not in"):
        compare_word_files(one, write(tmp_path / "c.json", {"c.png": "x"}), truth)


@pytest.mark.parametrize("content", [[], {}, {"a.png": 3}, {"a.png": ["x", None]}])
def test_other_forms_are_refused_by_file(tmp_path: Path, content: object) -> None:
    file = write(tmp_path / "odd.json", content)
    with pytest.raises(DataError, match=r"odd\.json"):
        compare_word_files(file, file, file)
