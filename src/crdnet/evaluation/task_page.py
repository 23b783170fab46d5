"""Self-contained HTML file of a task report: verdict, tables, boxes or words found and lost."""

from collections.abc import Sequence
from glob import escape as escape_pattern
from html import escape
from pathlib import Path
from string import Template

from crdnet._version import __version__
from crdnet.data import read_rgb
from crdnet.errors import CRDNetError, DataError
from crdnet.evaluation.html_report import encode_jpeg
from crdnet.evaluation.task_report import (
    Change,
    ImageChange,
    Item,
    TaskReport,
    build_change_table,
)

MOST_SHOWN = 48
"""Maximum number of images on the page, those with the most changes first."""
_LONGEST = 640
_STATES = ("kept", "missed", "lost", "found")


def format_task_page(report: TaskReport, folders: Sequence[Path]) -> str:
    """Return the report as the text of an HTML file.

    Args:
        report: Report to show.
        folders: Folders of the images to draw boxes on: one, or those before and after.

    Raises:
        DataError: There are more than two folders, or one is missing.
    """
    if len(folders) > 2:
        raise DataError(f"images come from one folder, or from two, got {len(folders)}")
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such folder; name the folder of the images")
    changed = [image for image in report.images if image.found or image.lost]
    # Stable, so that images with as many changes stay in the order of the truth.
    changed.sort(key=lambda image: -len(image.found) - len(image.lost))
    about = {**report.about, "crdnet": __version__}
    return Template(Path(__file__).with_name("task_page.html").read_text("utf-8")).substitute(
        verdict=escape(report.describe_verdict()),
        changes=_format_table(report.changes),
        classes=_format_table(report.classes) if report.classes else "<p>There are none.</p>",
        count=_count_changes(report.images, len(changed)),
        images="".join(_format_image(image, folders) for image in changed[:MOST_SHOWN]),
        notes="".join(f"<li>{escape(note)}</li>" for note in report.notes),
        settings="".join(
            f"<tr><th>{escape(str(key))}</th><td>{escape(str(value))}</td></tr>"
            for key, value in about.items()
        ),
    )


def _count_changes(images: Sequence[ImageChange], changed: int) -> str:
    found, lost = (sum(len(getattr(image, name)) for image in images) for name in ("found", "lost"))
    shown = f"; the {MOST_SHOWN} with the most are shown" if changed > MOST_SHOWN else ""
    return f"{found} found and {lost} lost, in {changed} of {len(images)} images{shown}."


def _format_table(changes: Sequence[Change]) -> str:
    head, *lines = build_change_table(changes)
    headings = "".join(f"<th scope=col>{escape(each)}</th>" for each in head)
    body = "".join(
        f'<tr class="{change.verdict.name.lower()}"><th scope=row>{escape(line[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in line[1:])
        + "</tr>"
        for change, line in zip(changes, lines, strict=True)
    )
    return f"<table><thead><tr>{headings}</tr></thead><tbody>{body}</tbody></table>"


def _format_image(image: ImageChange, folders: Sequence[Path]) -> str:
    words = " ".join(
        f'<span class="{state}">{len(getattr(image, state))} {state}: '
        f"{escape(', '.join(item.label for item in getattr(image, state)))}.</span>"
        for state in ("found", "lost")
        if getattr(image, state)
    )
    drawings = ""
    if image.size is not None:
        pages = [_load(folder, image.name) for folder in folders] or [""]
        drawings = "".join(_draw_boxes(image, image.size, page) for page in pages)
    return (
        f"<figure><figcaption><b>{escape(image.name)}</b><br>{words}</figcaption>"
        f'<div class="sides">{drawings}</div></figure>'
    )


def _load(folder: Path, name: str) -> str:
    """Return an image as a data address, whatever its suffix; empty if it cannot be read."""
    path = folder / name
    if not path.is_file():
        # Derained images may have another suffix than in the truth.
        path = next(iter(sorted(folder.glob(f"{escape_pattern(Path(name).stem)}.*"))), path)
    try:
        return encode_jpeg(read_rgb(path), _LONGEST, 80)
    except (CRDNetError, OSError):
        return ""


def _draw_boxes(image: ImageChange, size: tuple[int, int], address: str) -> str:
    width, height = size
    pixels = f'<image href="{address}" width="{width}" height="{height}"/>' if address else ""
    boxes = "".join(_draw_box(item, state) for state in _STATES for item in getattr(image, state))
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="boxes in {escape(image.name)}">{pixels}{boxes}</svg>'
    )


def _draw_box(item: Item, state: str) -> str:
    if item.box is None:
        return ""
    left, top, width, height = item.box
    return (
        f'<rect class="{state}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}"><title>{escape(item.label)}: {state}</title></rect>'
    )
