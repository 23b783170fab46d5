"""The site has a place for every page; `make docs` builds it, and these tests need no MkDocs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tools.site_pages import PAGES, markdown_of

from tests.docs.markdown import REPOSITORY
from tools import site_pages

CONFIGURATION = REPOSITORY / "mkdocs.yml"


class Loader(yaml.SafeLoader):
    """YAML loader that skips the one value of mkdocs.yml which names a Python function."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def list_pages(entries: list[Any]) -> Iterator[str]:
    """Yield the pages of a navigation tree, top to bottom."""
    for entry in entries:
        if isinstance(entry, str):
            yield entry
            continue
        for below in entry.values():
            yield from list_pages(below if isinstance(below, list) else [below])


def test_every_page_is_in_the_navigation_once() -> None:
    docs = REPOSITORY / "docs"
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")} | set(PAGES.values())
    listed = list(list_pages(yaml.load(CONFIGURATION.read_text(encoding="utf-8"), Loader)["nav"]))
    assert sorted(listed) == sorted(pages)


def test_the_pages_from_outside_docs_exist() -> None:
    assert [name for name in PAGES if not (REPOSITORY / name).is_file()] == []


def test_a_notebook_becomes_markdown() -> None:
    text = markdown_of(REPOSITORY / "docs" / "tutorial.ipynb")
    assert text.startswith("# Tutorial")


def test_the_home_page_begins_with_the_app_or_says_how_to_build_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_pages, "APP", tmp_path)
    assert "make web" in site_pages.add_app("# crdnet\n\nText.\n")
    (tmp_path / "index.html").touch()
    home = site_pages.add_app("# crdnet\n\nText.\n")
    assert home.startswith("# crdnet\n")
    assert "(app/index.html)" in home
    assert home.endswith("\n\nText.\n")
