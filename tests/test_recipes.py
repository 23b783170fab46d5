"""Recipes are found by name as well as by path."""

import re
from pathlib import Path

import pytest

from crdnet.errors import RecipeError
from crdnet.recipes import find_recipe, shipped_recipes, summary_of


@pytest.mark.parametrize(
    "name", ["paper", "paper.yaml", "configs/paper.yaml", Path("configs/paper.yaml")]
)
def test_a_shipped_recipe_is_found_from_any_folder(
    name: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_recipe(name) == shipped_recipes()["paper"]


def test_a_file_comes_before_a_shipped_recipe_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("configs").mkdir()
    Path("configs/paper.yaml").write_text("kind: residual\n")
    assert find_recipe("configs/paper.yaml") == Path("configs/paper.yaml")
    assert find_recipe("paper") == shipped_recipes()["paper"]


@pytest.mark.parametrize("name", ["papre", "mine/paper.yaml", "paper.json", "", "configs/"])
def test_a_recipe_that_does_not_exist_is_refused_with_those_that_do(name: str) -> None:
    with pytest.raises(
        RecipeError, match=f"there is no recipe '{re.escape(name)}'; give .* or one of best, "
    ):
        find_recipe(name)


def test_every_shipped_recipe_says_in_its_first_line_what_it_trains() -> None:
    assert {"paper", "paper-cpu", "default", "best"} <= shipped_recipes().keys()
    for path in shipped_recipes().values():
        assert path.read_text(encoding="utf-8").startswith("# ")
        assert summary_of(path).endswith(".")
