"""Comparison of the words read in images before and after deraining with the truth.

The files are JSON objects from the name of an image to its text or a list of its words. Case,
punctuation and the order of words are ignored. Word accuracy is the share of the words of the truth
that were read; word precision is the share of the words read that are in the truth.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from crdnet.errors import DataError
from crdnet.evaluation.task_report import (
    ImageChange,
    Item,
    TaskReport,
    draw_weights,
    measure_change,
    note_few,
)

Words = Mapping[str, Counter[str]]
"""Words of each image with their counts, by name of the image."""


def read_words(path: Path) -> Words:
    """Read the words of images.

    Raises:
        DataError: The file does not have this form.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict) or not content:
        raise DataError(f"{path} must be an object of image names, each with its text or words")
    words: dict[str, Counter[str]] = {}
    for name, text in content.items():
        listed = text if isinstance(text, list) else [text]
        if not all(isinstance(each, str) for each in listed):
            raise DataError(f"{path}, {name!r}: expected a text or a list of words, got {text!r}")
        words[name] = Counter(split_words(" ".join(listed)))
    return words


def split_words(text: str) -> list[str]:
    """Return the words of a text, in lower case and without punctuation."""
    letters = (
        " " if unicodedata.category(letter)[0] in "PSZC" else letter
        for letter in unicodedata.normalize("NFKC", text).casefold()
    )
    return "".join(letters).split()


def compare_word_files(before: Path, after: Path, truth: Path, *, seed: int = 0) -> TaskReport:
    """Compare the words in two files with the truth; the arguments are files of `read_words`.

    Raises:
        DataError: A file cannot be used, or has images that the truth does not have.
    """
    known = read_words(truth)
    runs = [read_words(path) for path in (before, after)]
    notes = []
    for path, run in zip((before, after), runs, strict=True):
        unknown = sorted(set(run) - set(known))
        if unknown:
            raise DataError(
                f"{path}: image {unknown[0]!r} is not in {truth}; score the images of the truth"
            )
        absent = sorted(set(known) - set(run))
        if absent:
            notes.append(
                f"{len(absent)} of {len(known)} images are not in {path}, first {absent[0]}; they "
                "count as images where nothing was read"
            )
    about = {"before": str(before), "after": str(after), "truth": str(truth), "seed": seed}
    return compare_words(known, *runs, seed=seed, notes=notes, about=about)


def compare_words(
    truth: Words,
    before: Words,
    after: Words,
    *,
    seed: int = 0,
    notes: Iterable[str] = (),
    about: Mapping[str, object] | None = None,
) -> TaskReport:
    """Compare the words read without and with deraining; images are drawn for the intervals."""
    names = sorted(truth)
    weights = draw_weights(len(names), np.random.default_rng(seed))
    true_words = np.array([truth[name].total() for name in names], float)
    accuracies, precisions = [], []
    for run in (before, after):
        right = np.array([(truth[n] & run.get(n, Counter())).total() for n in names], float)
        read = np.array([run.get(n, Counter()).total() for n in names], float)
        with np.errstate(invalid="ignore"):
            accuracies.append((weights @ right) / (weights @ true_words))
            precisions.append((weights @ right) / (weights @ read))
    number = int(true_words.sum())
    return TaskReport(
        [
            measure_change("word accuracy", *accuracies, truths=number),
            measure_change("word precision", *precisions, truths=number),
        ],
        [],
        [
            _list_change(name, truth[name], before.get(name, Counter()), after.get(name, Counter()))
            for name in names
        ],
        (*notes, *note_few(weights)),
        about or {},
    )


def _list_change(
    name: str, truth: Counter[str], before: Counter[str], after: Counter[str]
) -> ImageChange:
    first, second = truth & before, truth & after
    return ImageChange(
        name,
        None,
        found=_list_items(second - first),
        lost=_list_items(first - second),
        kept=_list_items(first & second),
        missed=_list_items(truth - (first | second)),
    )


def _list_items(words: Counter[str]) -> list[Item]:
    return [Item(word) for word in sorted(words.elements())]
