"""Shipped recipes: YAML files for `crdnet train`, found by name.

They are in `configs/` of the repository and in `crdnet/configs` of an installed wheel, as set in
pyproject.toml.
"""

from pathlib import Path

from crdnet.errors import RecipeError

# An editable install has no copy in the package, so that edits of `configs/` take effect.
_INSTALLED = Path(__file__).resolve().parent / "configs"
_IN_REPOSITORY = Path(__file__).resolve().parents[2] / "configs"
RECIPES_FOLDER = _INSTALLED if _INSTALLED.is_dir() else _IN_REPOSITORY


def list_recipes() -> dict[str, Path]:
    """Return the files of the shipped recipes by name, sorted."""
    return {path.stem: path for path in sorted(RECIPES_FOLDER.glob("*.yaml"))}


def find_recipe(recipe: str | Path) -> Path:
    """Return the file of a recipe.

    Args:
        recipe: Path of a YAML file, or else the name of a shipped recipe: `paper`, `paper.yaml` or
            `configs/paper.yaml`.

    Raises:
        RecipeError: There is neither such a file nor such a recipe.
    """
    path, shipped = Path(recipe), list_recipes()
    if path.is_file():
        return path
    # Names as in the documentation of training work outside the repository too, but a path to
    # another folder is a mistake, which a shipped recipe of that name would hide.
    can_be_shipped = str(path.parent) in (".", "configs") and path.suffix in ("", ".yaml")
    if can_be_shipped and path.stem in shipped:
        return shipped[path.stem]
    raise RecipeError(
        f"there is no recipe {str(recipe)!r}; give a YAML file or one of "
        f"{', '.join(shipped)}, which come with crdnet"
    )


def read_summary(path: Path) -> str:
    """Return the first line of a recipe, which says in a comment what it trains."""
    with path.open(encoding="utf-8") as lines:
        return lines.readline().lstrip("# ").rstrip()
