"""Parser of Markdown files: fenced blocks, links, headings, and the commands that they show."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

REPOSITORY = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^\s*(?P<fence>`{3,}|~{3,})\s*(?P<language>[\w+-]*)")
_NOT_RUN = re.compile(r"^\s*<!--\s*not run:(?P<reason>.*?)-->\s*$")
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^()\s]+)[^()]*\)")
_CODE_SPAN = re.compile(r"(?P<ticks>`+)(?P<code>.+?)(?P=ticks)")
# A command ends where the shell, or a comment, takes over.
_COMMAND = re.compile(r"(?:^|[|;&(]\s*|^\$\s+)crdnet\s+(?P<arguments>[^|;&<>#`]*)")


class MarkdownError(Exception):
    """Markdown file with a mistake that the tests name."""


@dataclass(frozen=True)
class Block:
    """Fenced block of a Markdown file."""

    source: str
    """Path of the file, relative to the repository."""
    line: int
    """Number of its first line of content, counted from 1."""
    language: str
    text: str
    not_run: str | None
    """Reason from `<!-- not run: REASON -->` before the block; None if the block is run."""

    @property
    def name(self) -> str:
        """File and line, such as docs/cli.md:12."""
        return f"{self.source}:{self.line}"


def list_markdown_files(root: Path = REPOSITORY) -> list[Path]:
    """Return the Markdown files of the repository, except in hidden and generated folders."""
    generated = {"build", "dist", "demo", "runs", "node_modules"}
    return sorted(
        path
        for path in root.rglob("*.md")
        if not any(
            part.startswith(".") or part in generated for part in path.relative_to(root).parts
        )
    )


def list_documents(root: Path = REPOSITORY) -> list[Path]:
    """Return the documents for users: README.md, docs/*.md, docs/how-to and docs/models."""
    folders = ("", "how-to", "models")
    found = (path for folder in folders for path in sorted((root / "docs" / folder).glob("*.md")))
    return [root / "README.md", *found]


def find_blocks(text: str, source: str) -> Iterator[Block]:
    """Yield the fenced blocks of a Markdown text.

    Raises:
        MarkdownError: A fence is never closed, or a block is marked as not run without a reason.
    """
    lines = text.splitlines()
    before = ""
    start = 0
    while start < len(lines):
        opening = _FENCE.match(lines[start])
        if opening is None:
            before = lines[start] if lines[start].strip() else before
            start += 1
            continue
        end = next(
            (n for n in range(start + 1, len(lines)) if lines[n].strip() == opening["fence"]), None
        )
        if end is None:
            raise MarkdownError(f"{source}:{start + 1}: this fence is never closed")
        mark = _NOT_RUN.match(before)
        if mark and not mark["reason"].strip():
            raise MarkdownError(
                f"{source}:{start + 1}: say why this block is not run: <!-- not run: REASON -->"
            )
        yield Block(
            source=source,
            line=start + 2,
            language=opening["language"],
            text=dedent("\n".join(lines[start + 1 : end])) + "\n",
            not_run=mark["reason"].strip() if mark else None,
        )
        before = ""
        start = end + 1


blocks_in = find_blocks  # the name that tests/server imports


def list_blocks() -> list[Block]:
    """Return the fenced blocks of the documents for users."""
    return [
        block
        for path in list_documents()
        for block in find_blocks(
            path.read_text(encoding="utf-8"), str(path.relative_to(REPOSITORY))
        )
    ]


def blank_blocks(text: str) -> str:
    """Return a Markdown text with its fenced blocks blanked, so that lines keep their numbers."""
    lines = text.splitlines()
    for block in find_blocks(text, "text"):
        height = block.text.count("\n")
        for number in range(block.line - 2, block.line + height):
            if number < len(lines):
                lines[number] = ""
    return "\n".join(lines)


def find_links(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line, target) of the links and images of a Markdown text, outside of code."""
    for number, line in enumerate(blank_blocks(text).splitlines(), start=1):
        for link in _LINK.finditer(_CODE_SPAN.sub("", line)):
            yield number, link["target"]


def find_anchors(text: str) -> set[str]:
    """Return the anchors of the headings of a Markdown text, by the rule that code hosts share."""
    headings = re.findall(r"^#{1,6}\s+(.+?)\s*#*$", blank_blocks(text), flags=re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


def find_commands(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line, arguments) of every `crdnet ...` in a line of a fenced block or a code span."""
    lines = text.splitlines()
    in_prose = blank_blocks(text).splitlines()
    for number, line in enumerate(lines, start=1):
        if number <= len(in_prose) and in_prose[number - 1]:
            pieces = [span["code"] for span in _CODE_SPAN.finditer(line)]
        else:
            pieces = [line.strip()]
        for piece in pieces:
            for command in _COMMAND.finditer(piece):
                yield number, command["arguments"].strip()
