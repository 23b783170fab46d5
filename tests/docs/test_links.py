"""Every link of a Markdown file that stays in the repository leads somewhere."""

from pathlib import Path

import pytest

from tests.docs.markdown import REPOSITORY, find_anchors, find_links, list_markdown_files


def find_broken_links(path: Path) -> list[str]:
    """Return the links of a Markdown file to files and headings that do not exist."""
    broken = []
    for line, target in find_links(path.read_text(encoding="utf-8")):
        if "://" in target or target.startswith("mailto:"):
            continue
        place, _, anchor = target.partition("#")
        found = path.parent / place if place else path
        if not found.exists():
            broken.append(f"{path.name}:{line}: there is no {target}")
        elif (
            anchor
            and found.suffix == ".md"
            and anchor not in find_anchors(found.read_text(encoding="utf-8"))
        ):
            broken.append(f"{path.name}:{line}: there is no heading for {target}")
    return broken


@pytest.mark.parametrize(
    "path", list_markdown_files(), ids=lambda path: str(path.relative_to(REPOSITORY))
)
def test_every_link_leads_somewhere(path: Path) -> None:
    assert find_broken_links(path) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading, twice told\n"
        "[good](page.md#a-heading-twice-told) [web](https://example.org/x.md)\n"
        "`[code](not-a-link.md)`\n```\n[code](not-a-link.md)\n```\n"
        "[bad](gone.md) ![bad](gone.png)\n[bad](#nowhere)\n",
        encoding="utf-8",
    )
    assert find_broken_links(page) == [
        "page.md:7: there is no gone.md",
        "page.md:7: there is no gone.png",
        "page.md:8: there is no heading for #nowhere",
    ]
