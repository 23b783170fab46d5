"""What the tests need to know of a Markdown file: its fenced blocks, links and headings, and the commands it shows."""

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
    """A Markdown file says something that these tests cannot take."""


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    source: str
    """The file, relative to the repository."""
    line: int
    """Where its first line of content is, counted from 1."""
    language: str
    text: str
    not_run: str | None
    """Why it is not run, if `<!-- not run: REASON -->` stands before it."""

    @property
    def name(self) -> str:
        """Where it is, as editors and people write it."""
        return f"{self.source}:{self.line}"


def markdown_files(root: Path = REPOSITORY) -> list[Path]:
    """Return the Markdown files of the repository, without those of hidden and generated folders."""
    generated = {"build", "dist", "demo", "runs"}
    return sorted(
        path
        for path in root.rglob("*.md")
        if not any(
            part.startswith(".") or part in generated for part in path.relative_to(root).parts
        )
    )


def documents(root: Path = REPOSITORY) -> list[Path]:
    """Return what users read first: README.md and docs/*.md."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def blocks_in(text: str, source: str) -> Iterator[Block]:
    """Yield the fenced blocks of a Markdown text.

    Raises:
        MarkdownError: A fence is never closed, or a block is not run for no reason.
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


def all_blocks() -> list[Block]:
    """Return the fenced blocks of README.md and docs/*.md."""
    return [
        block
        for path in documents()
        for block in blocks_in(path.read_text(encoding="utf-8"), str(path.relative_to(REPOSITORY)))
    ]


def without_blocks(text: str) -> str:
    """Return a Markdown text with its fenced blocks blanked, so that lines keep their numbers."""
    lines = text.splitlines()
    for block in blocks_in(text, "text"):
        height = block.text.count("\n")
        for number in range(block.line - 2, block.line + height):
            if number < len(lines):
                lines[number] = ""
    return "\n".join(lines)


def links_in(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line, target) of the links and pictures of a Markdown text, outside of code."""
    for number, line in enumerate(without_blocks(text).splitlines(), start=1):
        for link in _LINK.finditer(_CODE_SPAN.sub("", line)):
            yield number, link["target"]


def anchors_in(text: str) -> set[str]:
    """Return the anchors that the headings of a Markdown text make, by the rule that code hosts share."""
    headings = re.findall(r"^#{1,6}\s+(.+?)\s*#*$", without_blocks(text), flags=re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


def commands_in(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line, arguments) of every `crdnet ...` on a line of a fenced block and in a span of code."""
    lines = text.splitlines()
    in_prose = without_blocks(text).splitlines()
    for number, line in enumerate(lines, start=1):
        if number <= len(in_prose) and in_prose[number - 1]:
            pieces = [span["code"] for span in _CODE_SPAN.finditer(line)]
        else:
            pieces = [line.strip()]
        for piece in pieces:
            for command in _COMMAND.finditer(piece):
                yield number, command["arguments"].strip()
