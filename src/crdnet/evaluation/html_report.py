"""One self-contained HTML file of a comparison: table, gains, worst and best images, settings.

The file needs no server and loads nothing. Thumbnails shrink with the number of images, so that a
report of 5,000 images stays below 30 MB.
"""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from string import Template
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from crdnet.errors import CRDNetError
from crdnet.evaluation.cases import Case, LoadedCase
from crdnet.evaluation.comparison import Difference, format_differences
from crdnet.evaluation.formats import build_table
from crdnet.evaluation.scoring import Evaluation, ImageScores
from crdnet.evaluation.summary import Row
from crdnet.metrics import ScorableImage, round_to_8bit

THUMBNAIL_BYTES = 15_000_000
"""Intended size of the thumbnails of all images together; base64 adds a third."""
_LARGEST_THUMBNAIL, _SMALLEST_THUMBNAIL = 96, 32
# JPEG at quality 60 of small, detailed images; measured on Rain800 at 32 to 96 pixels.
_BYTES_PER_PIXEL = 0.35
_LARGE = 480
# Number of the worst and of the best images that are shown large.
_SHOWN = 6
_BINS = 24


@dataclass(frozen=True)
class MethodReport:
    """Scores of a method for the report.

    Attributes:
        name: Name of the method.
        evaluation: Its scores.
        rows: Their summary.
    """

    name: str
    evaluation: Evaluation
    rows: Sequence[Row]


class Thumbnails:
    """Small images of every case, collected while they are scored.

    Args:
        images: Expected number of images, which decides their size.
    """

    def __init__(self, images: int) -> None:
        budget = THUMBNAIL_BYTES / max(1, images) / _BYTES_PER_PIXEL
        side = min(_LARGEST_THUMBNAIL, int(math.sqrt(budget)))
        self.side = max(_SMALLEST_THUMBNAIL, side)
        self._encoded: dict[tuple[str, str], str] = {}
        self._lock = Lock()

    def add(self, method: str, case: Case, loaded: LoadedCase) -> None:
        """Keep the derained image of a case; may be called from several threads."""
        encoded = encode_jpeg(loaded.derained, self.side, 60)
        with self._lock:
            self._encoded[method, case.pair.name] = encoded

    def find(self, method: str, name: str) -> str:
        """Return the data address of a thumbnail; empty if there is none."""
        return self._encoded.get((method, name), "")


def encode_jpeg(image: ScorableImage, longest: int, quality: int) -> str:
    """Return an image (h, w, 3) as the data address of a JPEG with a bounded longer side."""
    pixels: npt.NDArray[np.uint8] = round_to_8bit(image)
    small = Image.fromarray(np.ascontiguousarray(pixels))
    small.thumbnail((longest, longest), Image.Resampling.BOX)
    file = BytesIO()
    small.save(file, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def format_html(
    methods: Sequence[MethodReport],
    cases: Mapping[str, Sequence[Case]],
    thumbnails: Thumbnails,
    differences: Sequence[Difference],
    about: Mapping[str, Any],
) -> str:
    """Return the report as the text of an HTML file.

    Args:
        methods: Scores of each method, on the same images.
        cases: Cases of each method by its name; the worst and best images are loaded again.
        thumbnails: Thumbnails that were collected while scoring.
        differences: Paired differences of the methods.
        about: Facts about the evaluation, in order of appearance.
    """
    first = methods[0]
    protocol = first.evaluation.protocols[0]
    by_method = [
        (method.name, {image.name: image for image in method.evaluation.images})
        for method in methods
    ]
    order = sorted(first.evaluation.images, key=lambda image: _rank(image, protocol))
    worst, best = order[:_SHOWN], order[: max(_SHOWN, len(order) - _SHOWN) - 1 : -1]
    tables = "".join(f"<h3>{escape(m.name)}</h3>{_format_rows(m.rows)}" for m in methods)
    compared = escape(format_differences(differences)) or "Only one method was scored."
    # One scale for all methods, so that their distributions can be compared.
    edges = np.histogram_bin_edges(
        np.concatenate([_list_gains(method, protocol) for method in methods]), bins=_BINS
    )
    return Template(_read_page()).substitute(
        protocol=escape(protocol),
        summary=tables,
        differences=compared,
        charts="".join(_draw_gains(method, protocol, edges) for method in methods),
        worst=_show_large(worst, by_method, cases, protocol),
        best=_show_large(best, by_method, cases, protocol),
        settings="".join(
            f"<tr><th>{escape(str(key))}</th><td>{escape(_show_value(value))}</td></tr>"
            for key, value in about.items()
            if value is not None
        ),
        side=thumbnails.side,
        data=_dump(_list_images(first.evaluation.images, by_method, thumbnails, protocol)),
        methods=_dump([method.name for method in methods]),
    )


def _list_images(
    images: Sequence[ImageScores],
    by_method: Sequence[tuple[str, Mapping[str, ImageScores]]],
    thumbnails: Thumbnails,
    protocol: str,
) -> list[dict[str, Any]]:
    return [
        {
            "name": image.name,
            "scene": image.scene,
            "rain": "" if image.density is None else image.density.name.lower(),
            "before": None if image.rainy is None else _round(image.rainy[protocol].psnr, 2),
            "scores": [
                [
                    _round(found[image.name].derained[protocol].psnr, 2),
                    _round(found[image.name].derained[protocol].ssim, 4),
                    thumbnails.find(method, image.name),
                ]
                for method, found in by_method
            ],
        }
        for image in images
    ]


def _rank(image: ImageScores, protocol: str) -> float:
    """Return the key that sorts images from worst to best: gain, or PSNR without a rainy image."""
    psnr = image.derained[protocol].psnr
    before = 0.0 if image.rainy is None else image.rainy[protocol].psnr
    if math.isinf(psnr) or math.isinf(before):
        return math.inf if math.isinf(psnr) else -math.inf
    return psnr - before


def _show_large(
    images: Sequence[ImageScores],
    by_method: Sequence[tuple[str, Mapping[str, ImageScores]]],
    cases: Mapping[str, Sequence[Case]],
    protocol: str,
) -> str:
    shown = []
    for image in images:
        versions: dict[str, str] = {}
        captions = []
        for method, found in by_method:
            case = next((c for c in cases[method] if c.pair.name == image.name), None)
            if case is None:
                continue
            try:
                loaded = case.load()
            except (CRDNetError, OSError):  # the file has changed since it was scored
                continue
            if loaded.rainy is not None:
                versions.setdefault("rainy", encode_jpeg(loaded.rainy, _LARGE, 80))
            versions[method] = encode_jpeg(loaded.derained, _LARGE, 80)
            versions["clean"] = encode_jpeg(loaded.clean, _LARGE, 80)
            captions.append(f"{method} {_show_db(found[image.name].derained[protocol].psnr)}")
        if image.rainy is not None:
            captions.insert(0, f"rainy {_show_db(image.rainy[protocol].psnr)}")
        shown.append(_format_slider(image.name, versions, captions))
    return "".join(shown)


def _format_slider(name: str, versions: Mapping[str, str], captions: Sequence[str]) -> str:
    names = [each for each in versions if each != "clean"] + ["clean"] * ("clean" in versions)
    options = "".join(f"<option>{escape(each)}</option>" for each in names)
    images = "".join(
        f'<img data-version="{escape(each)}" src="{versions[each]}" alt="{escape(each)}" hidden>'
        for each in names
    )
    return (
        f'<figure class="slider"><figcaption><b>{escape(name)}</b><br>'
        f"{escape(', '.join(captions))}</figcaption>"
        f'<select class="left" aria-label="left image">{options}</select>'
        f'<select class="right" aria-label="right image">{options}</select>'
        f'<div class="stage">{images}</div>'
        '<input type="range" min="0" max="100" value="50" aria-label="border between the images">'
        "</figure>"
    )


def _list_gains(method: MethodReport, protocol: str) -> npt.NDArray[np.float64]:
    """Return the finite gains in PSNR; none without rainy images."""
    ranks = [
        _rank(image, protocol) for image in method.evaluation.images if image.rainy is not None
    ]
    return np.array([rank for rank in ranks if math.isfinite(rank)])


def _draw_gains(method: MethodReport, protocol: str, edges: npt.NDArray[np.float64]) -> str:
    """Return a histogram of the gains in PSNR as an SVG."""
    gains = _list_gains(method, protocol)
    if not len(gains):
        return f"<p>{escape(method.name)}: no gains, since no rainy images were given.</p>"
    counts, _ = np.histogram(gains, bins=edges)
    height, width = 120, 22
    bars = "".join(
        f'<rect x="{index * width}" y="{height - height * count / counts.max():.1f}" '
        f'width="{width - 2}" height="{height * count / counts.max():.1f}" '
        f'class="{"loss" if edges[index + 1] <= 0 else "gain"}">'
        f"<title>{edges[index]:+.2f} to {edges[index + 1]:+.2f} dB: {count}</title></rect>"
        for index, count in enumerate(counts)
    )
    labels = "".join(
        f'<text x="{index * width}" y="{height + 18}" text-anchor="{anchor}">'
        f"{edges[index]:+.1f} dB</text>"
        for index, anchor in ((0, "start"), (_BINS // 2, "middle"), (_BINS, "end"))
    )
    worse = int((gains < 0).sum())
    return (
        f"<figure><figcaption>{escape(method.name)}: gains from {gains.min():+.2f} to "
        f"{gains.max():+.2f} dB, median {np.median(gains):+.2f}; {worse} of {len(gains)} images "
        f'became worse</figcaption><svg viewBox="0 0 {_BINS * width} {height + 24}" role="img" '
        f'aria-label="Distribution of gains of {escape(method.name)}">{bars}{labels}</svg></figure>'
    )


def _format_rows(rows: Sequence[Row]) -> str:
    headings, cells = build_table(rows)
    head = "".join(f"<th>{escape(each)}</th>" for each in headings)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in cells
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _dump(value: Any) -> str:
    # "</script>" in a name would end the script.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def _round(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None


def _show_db(value: float) -> str:
    return f"{value:.2f} dB" if math.isfinite(value) else "identical"


def _show_value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _read_page() -> str:
    return Path(__file__).with_name("report.html").read_text(encoding="utf-8")
