"""The counts of verbs and comments."""

import ast

import pytest
from tools.count_style import VERBS, count_comment_lines, get_first_word, list_functions


@pytest.mark.parametrize("name", ["choose_scale", "_read_header", "derain"])
def test_verbs_are_verbs(name: str) -> None:
    assert list(list_functions(ast.parse(f"def {name}(): ..."))) == [name]
    assert get_first_word(name) in VERBS


@pytest.mark.parametrize("name", ["told", "_surroundings", "without_alpha", "raw_kind"])
def test_nouns_and_participles_are_not(name: str) -> None:
    assert get_first_word(name) not in VERBS


@pytest.mark.parametrize(
    "source",
    [
        "class A:\n    @property\n    def width(self): ...",
        "class A:\n    def __len__(self): ...",
        "def is_dry(): ...",
        "def as_rgb(): ...",
        "def forward(): ...",
        "def ssim(): ...",
    ],
)
def test_names_that_follow_from_something_else_do_not_count(source: str) -> None:
    assert list(list_functions(ast.parse(source))) == []


def test_comments_for_tools_do_not_count() -> None:
    source = "# a reason\nx = 1  # its unit\ny = 2  # noqa: E501\ntext = '# no comment'\n"
    assert count_comment_lines(source) == 2
