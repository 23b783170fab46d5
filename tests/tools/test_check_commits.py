"""The rules for the subjects of commits."""

import pytest
from tools.check_commits import find_faults, list_subjects


@pytest.mark.parametrize(
    "subject",
    ["Add a look at twice the size", "Pass the kind as one value", "Merge branch 'video'"],
)
def test_good_subjects_pass(subject: str) -> None:
    assert not list(find_faults(subject))


@pytest.mark.parametrize(
    ("subject", "fault"),
    [
        ("Added a look", "imperative"),
        ("Adding a look", "imperative"),
        ("Adds a look", "imperative"),
        ("default: its density head trained twice as long", "imperative"),
        ("Add a look.", "full stop"),
        ("Add " + 70 * "x", "74 characters"),
    ],
)
def test_faults_are_named(subject: str, fault: str) -> None:
    assert fault in " ".join(find_faults(subject))


def test_a_base_that_is_not_in_the_history_gives_nothing_to_check() -> None:
    assert list_subjects("0" * 40) == []
