"""An evaluation as text, Markdown, CSV and JSON."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from crdnet._version import __version__
from crdnet.evaluation.bootstrap import Estimate
from crdnet.evaluation.scoring import Evaluation
from crdnet.evaluation.summary import Quantity, Row
from crdnet.metrics import Scores

FORMAT = "crdnet-evaluation/1"
_HEADINGS = {
    Quantity.PSNR_RAINY: "PSNR rainy",
    Quantity.PSNR: "PSNR derained",
    Quantity.PSNR_GAIN: "PSNR gain",
    Quantity.SSIM_RAINY: "SSIM rainy",
    Quantity.SSIM: "SSIM derained",
    Quantity.SSIM_GAIN: "SSIM gain",
}
_WITH_INTERVAL = {Quantity.PSNR, Quantity.PSNR_GAIN, Quantity.SSIM, Quantity.SSIM_GAIN}
_GAINS = {Quantity.PSNR_GAIN, Quantity.SSIM_GAIN}


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the cells of a table for people; columns that say nothing are left out."""
    quantities = [quantity for quantity in Quantity if any(quantity in row.estimates for row in rows)]
    identical = any(row.identical for row in rows)
    headings = ["protocol", "rain", "pictures", "scenes", *(["identical"] if identical else [])]
    cells = [
        [
            row.protocol,
            "all" if row.density is None else row.density.name.lower(),
            str(row.pictures),
            str(row.scenes),
            *([str(row.identical)] if identical else []),
            *[_cell(quantity, row.estimates.get(quantity)) for quantity in quantities],
        ]
        for row in rows
    ]
    return headings + [_HEADINGS[quantity] for quantity in quantities], cells


def as_text(rows: Sequence[Row]) -> str:
    """Return the table as aligned plain text, one line per row."""
    headings, cells = table(rows)
    lines = [headings, *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n"
        for line in lines
    )


def as_markdown(rows: Sequence[Row], about: Mapping[str, Any]) -> str:
    """Return the table as a Markdown document.

    Args:
        rows: Of `summarise`.
        about: What was scored, in the order in which it is to be told.
    """
    headings, cells = table(rows)
    facts = [f"- {key}: `{value}`" for key, value in _facts(about).items() if value is not None]
    lines = [headings, ["---"] * len(headings), *cells]
    body = ["| " + " | ".join(line) + " |" for line in lines]
    note = "Means over pictures; in brackets the 95% interval of the mean, by resampling scenes."
    return "\n".join(["# Evaluation", "", *facts, "", *body, "", note, ""])


def as_csv(evaluation: Evaluation) -> str:
    """Return the scores of every picture, one line per picture and protocol; an infinite PSNR is `inf`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "scene", "rain", "protocol", "psnr_rainy", "ssim_rainy", "psnr", "ssim"])
    for picture in evaluation.pictures:
        rain = "" if picture.density is None else picture.density.name.lower()
        for protocol, derained in picture.derained.items():
            rainy = _csv_scores(picture.rainy[protocol]) if picture.rainy is not None else ["", ""]
            writer.writerow([picture.name, picture.scene, rain, protocol, *rainy, *_csv_scores(derained)])
    return text.getvalue()


def as_json(evaluation: Evaluation, rows: Sequence[Row], about: Mapping[str, Any]) -> str:
    """Return everything as JSON; an infinite PSNR, which JSON cannot write, is null."""
    document = {
        "format": FORMAT,
        "about": _facts(about),
        "summary": [_json_row(row) for row in rows],
        "pictures": [
            {
                "name": picture.name,
                "scene": picture.scene,
                "rain": None if picture.density is None else picture.density.name.lower(),
                "derained": _json_scores(picture.derained),
                "rainy": None if picture.rainy is None else _json_scores(picture.rainy),
            }
            for picture in evaluation.pictures
        ],
        "failures": [{"name": failure.name, "message": failure.message} for failure in evaluation.failures],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _facts(about: Mapping[str, Any]) -> dict[str, Any]:
    return {**about, "crdnet": __version__}


def _cell(quantity: Quantity, estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    # The z keeps a gain of nothing from being printed as -0.00.
    number = ("+" if quantity in _GAINS else "") + ("z.2f" if quantity.startswith("psnr") else "z.4f")
    text = f"{estimate.mean:{number}}"
    if quantity in _WITH_INTERVAL and estimate.low is not None and estimate.high is not None:
        text += f" [{estimate.low:{number}}, {estimate.high:{number}}]"
    return text


def _csv_scores(scores: Scores) -> list[str]:
    return [f"{scores.psnr:.6f}", f"{scores.ssim:.6f}"]


def _json_row(row: Row) -> dict[str, Any]:
    return {
        "protocol": row.protocol,
        "rain": "all" if row.density is None else row.density.name.lower(),
        "pictures": row.pictures,
        "scenes": row.scenes,
        "identical": row.identical,
        **{
            quantity.value: {"mean": estimate.mean, "low": estimate.low, "high": estimate.high}
            for quantity, estimate in row.estimates.items()
        },
    }


def _json_scores(scores: Mapping[str, Scores]) -> dict[str, dict[str, float | None]]:
    return {
        protocol: {"psnr": value.psnr if math.isfinite(value.psnr) else None, "ssim": value.ssim}
        for protocol, value in scores.items()
    }
