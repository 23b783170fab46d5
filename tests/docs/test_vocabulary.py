"""The documentation says image, the word of docs/glossary.md, and not picture or photo."""

import re
from pathlib import Path

import pytest

from tests.docs.markdown import REPOSITORY, blank_blocks, list_markdown_files

OTHER_WORDS = re.compile(r"\b(pictures?|photos?)\b", re.IGNORECASE)
_GENERATED = re.compile(r"<!-- (?P<name>\w+): begin -->.*?<!-- (?P=name): end -->", re.DOTALL)
_CODE_SPAN = re.compile(r"`[^`]*`")
OLDER_PAGES = {
    "docs/glossary.md",
}
"""Pages that still use other words, and the glossary, which lists them. Remove rewritten pages."""


def find_other_words(text: str) -> list[str]:
    """Return the other words for image in a text, outside of code and of generated parts."""
    return OTHER_WORDS.findall(_CODE_SPAN.sub("", blank_blocks(_GENERATED.sub("", text))))


def list_pages() -> list[Path]:
    """Return the pages of the documentation that keep to the glossary."""
    found = {path.relative_to(REPOSITORY).as_posix(): path for path in list_markdown_files()}
    return [
        path
        for name, path in found.items()
        if name not in OLDER_PAGES and ("/" not in name or name.startswith(("docs/", "examples/")))
    ]


@pytest.mark.parametrize("path", list_pages(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_pages_say_image(path: Path) -> None:
    assert find_other_words(path.read_text(encoding="utf-8")) == []


def test_other_words_are_found_outside_of_code_only() -> None:
    text = "A picture in `photos/`.\n```\nphoto\n```\nPhotos.\n"
    text += "<!-- a: begin -->\npictures\n<!-- a: end -->\n"
    assert find_other_words(text) == ["picture", "Photos"]
