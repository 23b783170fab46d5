"""Recipes are found by name and by path."""

import re
from pathlib import Path

import pytest

from crdnet.errors import RecipeError
from crdnet.recipes import find_recipe, list_recipes, read_summary


@pytest.mark.parametrize(
    "name", ["paper", "paper.yaml", "configs/paper.yaml", Path("configs/paper.yaml")]
)
def test_a_shipped_recipe_is_found_from_any_folder(
    name: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_recipe(name) == list_recipes()["paper"]


def test_a_file_wins_over_a_shipped_recipe_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("configs").mkdir()
    Path("configs/paper.yaml").write_text("kind: residual\n")
    assert find_recipe("configs/paper.yaml") == Path("configs/paper.yaml")
    assert find_recipe("paper") == list_recipes()["paper"]


@pytest.mark.parametrize("name", ["papre", "mine/paper.yaml", "paper.json", "", "configs/"])
def test_the_error_for_a_missing_recipe_names_the_shipped_ones(name: str) -> None:
    with pytest.raises(
        RecipeError, match=f"there is no recipe '{re.escape(name)}'; give .* or one of best, "
    ):
        find_recipe(name)


def test_the_first_line_of_every_shipped_recipe_is_a_summary() -> None:
    assert {"paper", "paper-cpu", "default", "best"} <= list_recipes().keys()
    for path in list_recipes().values():
        assert path.read_text(encoding="utf-8").startswith("# ")
        assert read_summary(path).endswith(".")
