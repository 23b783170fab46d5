"""Formatting of an evaluation as text, Markdown, CSV and JSON."""

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


def build_table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Return the headings and cells of a table for people, without empty columns."""
    known = {quantity for row in rows for quantity in row.estimates}
    quantities = [quantity for quantity in Quantity if quantity in known]
    # A column of zeros would only distract.
    identical = any(row.identical for row in rows)
    headings = ["protocol", "rain", "images", "scenes", *(["identical"] if identical else [])]
    cells = [
        [
            row.protocol,
            "all" if row.density is None else row.density.name.lower(),
            str(row.images),
            str(row.scenes),
            *([str(row.identical)] if identical else []),
            *[_format_cell(quantity, row.estimates.get(quantity)) for quantity in quantities],
        ]
        for row in rows
    ]
    return headings + [_HEADINGS[quantity] for quantity in quantities], cells


def format_text(rows: Sequence[Row]) -> str:
    """Format the rows as aligned plain text, one line per row."""
    headings, cells = build_table(rows)
    lines = [headings, *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "".join(
        "  ".join(
            cell.ljust(width)
            for cell, width in zip(
                line,
                widths,
                strict=True,
            )
        ).rstrip()
        + "\n"
        for line in lines
    )


def format_markdown(rows: Sequence[Row], about: Mapping[str, Any]) -> str:
    """Format the rows as a Markdown document.

    Args:
        rows: Rows of `summarise`.
        about: Facts about the evaluation, in order of appearance.
    """
    headings, cells = build_table(rows)
    known = {key: value for key, value in _add_version(about).items() if value is not None}
    facts = [f"- {key}: `{value}`" for key, value in known.items()]
    lines = [headings, ["---"] * len(headings), *cells]
    body = ["| " + " | ".join(line) + " |" for line in lines]
    note = "Means over images; in brackets the 95% interval of the mean, by resampling scenes."
    return "\n".join(["# Evaluation", "", *facts, "", *body, "", note, ""])


def format_csv(evaluation: Evaluation) -> str:
    """Format the scores as CSV, one line per image and protocol; an infinite PSNR is `inf`."""
    text = io.StringIO()
    # The csv module would end lines with CR LF.
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["name", "scene", "rain", "protocol", "psnr_rainy", "ssim_rainy", "psnr", "ssim"],
    )
    for image in evaluation.images:
        rain = "" if image.density is None else image.density.name.lower()
        for protocol, derained in image.derained.items():
            rainy = (
                _format_csv_scores(image.rainy[protocol])
                if image.rainy is not None
                else [
                    "",
                    "",
                ]
            )
            writer.writerow(
                [image.name, image.scene, rain, protocol, *rainy, *_format_csv_scores(derained)],
            )
    return text.getvalue()


def format_json(evaluation: Evaluation, rows: Sequence[Row], about: Mapping[str, Any]) -> str:
    """Format everything as JSON; an infinite PSNR is null, since JSON has no infinity."""
    document = {
        "format": FORMAT,
        "about": _add_version(about),
        **convert_evaluation(evaluation, rows),
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def convert_evaluation(evaluation: Evaluation, rows: Sequence[Row]) -> dict[str, Any]:
    """Return summary, scores and failures as JSON values."""
    return {
        "summary": [_convert_row(row) for row in rows],
        "images": [
            {
                "name": image.name,
                "scene": image.scene,
                "rain": None if image.density is None else image.density.name.lower(),
                "derained": _convert_scores(image.derained),
                "rainy": None if image.rainy is None else _convert_scores(image.rainy),
            }
            for image in evaluation.images
        ],
        "failures": [
            {
                "name": failure.name,
                "message": failure.message,
            }
            for failure in evaluation.failures
        ],
    }


def _add_version(about: Mapping[str, Any]) -> dict[str, Any]:
    return {**about, "crdnet": __version__}


def _format_cell(quantity: Quantity, estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    # The z prints a zero gain as +0.00 instead of -0.00.
    number = "z.2f" if quantity.startswith("psnr") else "z.4f"
    number = f"+{number}" if quantity in _GAINS else number
    text = f"{estimate.mean:{number}}"
    if quantity in _WITH_INTERVAL and estimate.low is not None and estimate.high is not None:
        text += f" [{estimate.low:{number}}, {estimate.high:{number}}]"
    return text


def _format_csv_scores(scores: Scores) -> list[str]:
    return [f"{scores.psnr:.6f}", f"{scores.ssim:.6f}"]


def _convert_row(row: Row) -> dict[str, Any]:
    return {
        "protocol": row.protocol,
        "rain": "all" if row.density is None else row.density.name.lower(),
        "images": row.images,
        "scenes": row.scenes,
        "identical": row.identical,
        **{
            quantity.value: {"mean": estimate.mean, "low": estimate.low, "high": estimate.high}
            for quantity, estimate in row.estimates.items()
        },
    }


def _convert_scores(scores: Mapping[str, Scores]) -> dict[str, dict[str, float | None]]:
    return {
        protocol: {"psnr": value.psnr if math.isfinite(value.psnr) else None, "ssim": value.ssim}
        for protocol, value in scores.items()
    }
