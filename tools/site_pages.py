"""MkDocs hook: pages of the site that are not Markdown files under docs/.

README.md becomes the home page, the other Markdown files of the root get a page each, and the
notebook becomes the tutorial. Links work both in the repository and on the site: on the site, a
link to a file outside docs/ leads to its page, or to a copy of the file under `repository/`. If
`make web` has built the app, it becomes `app/` of the site, and the home page links to it at the
top.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).resolve().parents[1]
NOTEBOOK = "docs/tutorial.ipynb"
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples/README.md": "examples.md",
    NOTEBOOK: "tutorial.md",
}
"""Files of the repository and the pages that they become."""
COPIES = "repository"
"""Folder of the site for other files that pages link to, not in the navigation of mkdocs.yml."""

APP = REPOSITORY / "src" / "crdnet" / "server" / "app"
"""Folder of the app that derains in the browser, where it is built."""
_APP_LINK = """[Derain an image in this browser](app/index.html){ .md-button .md-button--primary }

Images stay on your device, and nothing is installed.
"""
_APP_MISSING = """!!! note "This copy of the site has no app"

    Run `make web` before `make docs` for the page that derains images in the browser.
"""

_LINK = re.compile(r"(?P<before>\[[^\]]*\]\()(?P<target>[^()\s#]+)")
_SCHEME = re.compile(r"^[a-z]+:")


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add the pages from outside docs/ and the files that any page links to."""
    # Imported here, because the tests import this module without MkDocs.
    from mkdocs.structure.files import File  # noqa: PLC0415

    sources = [REPOSITORY / name for name in PAGES]
    sources += [Path(config.docs_dir) / file.src_uri for file in files.documentation_pages()]
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=markdown_of(REPOSITORY / name)))
    known = set(PAGES)
    for source in sources:
        for target in _targets(markdown_of(source)):
            place = _in_repository(source, target)
            if place and not place.startswith("docs/") and place not in known:
                known.add(place)
                path = REPOSITORY / place
                files.append(File.generated(config, f"{COPIES}/{place}", abs_src_path=str(path)))
    for path in sorted(APP.rglob("*")):
        if path.is_file():
            place = f"app/{path.relative_to(APP).as_posix()}"
            files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(
    markdown: str,
    page: "Page",
    config: "MkDocsConfig",  # noqa: ARG001
    files: "Files",  # noqa: ARG001
) -> str:
    """Return the text of a page with its links converted for the site."""
    uri = page.file.src_uri
    source = next((name for name, made in PAGES.items() if made == uri), f"docs/{uri}")
    if uri.startswith(f"{COPIES}/"):
        source = uri.removeprefix(f"{COPIES}/")

    def on_site(link: re.Match[str]) -> str:
        place = _in_repository(REPOSITORY / source, link["target"])
        if place is None:
            return link[0]
        target = PAGES.get(place) or (
            place.removeprefix("docs/") if place.startswith("docs/") else f"{COPIES}/{place}"
        )
        return link["before"] + os.path.relpath(target, PurePosixPath(uri).parent)

    linked = _LINK.sub(on_site, markdown)
    return add_app(linked) if uri == PAGES["README.md"] else linked


def add_app(home: str) -> str:
    """Return the home page with a link to the app below its title."""
    title, rest = home.split("\n", 1)
    way = _APP_LINK if (APP / "index.html").is_file() else _APP_MISSING
    return f"{title}\n\n{way}{rest}"


def markdown_of(path: Path) -> str:
    """Return the text of a Markdown file, or of a notebook as Markdown."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    parts = []
    for cell in cells:
        source = "".join(cell["source"])
        parts.append(f"```python\n{source}\n```" if cell["cell_type"] == "code" else source)
    return "\n\n".join(parts) + "\n"


def _targets(markdown: str) -> Iterator[str]:
    for link in _LINK.finditer(markdown):
        yield link["target"]


def _in_repository(source: Path, target: str) -> str | None:
    """Return the repository path of the file that a link leads to; None if there is none."""
    if _SCHEME.match(target):
        return None
    path = Path(os.path.normpath(source.parent / target))
    if not path.is_file() or not path.is_relative_to(REPOSITORY):
        return None
    return path.relative_to(REPOSITORY).as_posix()
