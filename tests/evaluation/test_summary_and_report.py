import csv
import io
import json
import math
from typing import Any

import numpy as np
import pytest

from crdnet.density import RainDensity
from crdnet.evaluation import (
    Evaluation,
    Failure,
    ImageScores,
    Quantity,
    Row,
    build_table,
    format_csv,
    format_json,
    format_markdown,
    format_text,
    summarise,
)
from crdnet.metrics import Scores


def image(
    name: str,
    psnr: float,
    rainy_psnr: float | None,
    density: RainDensity | None = None,
    ssim: float = 0.9,
) -> ImageScores:
    rainy = None if rainy_psnr is None else {"crdnet": Scores(rainy_psnr, 0.5)}
    return ImageScores(name, name, density, {"crdnet": Scores(psnr, ssim)}, rainy)


def rows_of(*images: ImageScores) -> list[Row]:
    return summarise(Evaluation(("crdnet",), images, ()), np.random.default_rng(0), resamples=100)


def means(row: Row) -> dict[Quantity, float]:
    return {quantity: estimate.mean for quantity, estimate in row.estimates.items()}


def test_psnr_of_a_set_is_the_mean_of_its_images_psnrs() -> None:
    (row,) = rows_of(image("a", 20.0, 10.0), image("b", 40.0, 16.0))
    assert row.estimates[Quantity.PSNR].mean == pytest.approx(30)  # pooled errors would give 23
    assert row.estimates[Quantity.PSNR_RAINY].mean == pytest.approx(13)
    assert row.estimates[Quantity.PSNR_GAIN].mean == pytest.approx(17)
    assert row.estimates[Quantity.SSIM_GAIN].mean == pytest.approx(0.4)


@pytest.mark.parametrize(
    "identical",
    [image("c", math.inf, 12.0), image("c", 50.0, math.inf), image("c", math.inf, math.inf)],
)
def test_identical_images_are_left_out_of_psnr_before_and_after_and_counted(
    identical: ImageScores,
) -> None:
    others = image("a", 20.0, 10.0), image("b", 40.0, 16.0)
    (row,) = rows_of(*others, identical)
    (without,) = rows_of(*others)
    assert (row.images, row.identical) == (3, 1)
    for quantity in (Quantity.PSNR, Quantity.PSNR_RAINY, Quantity.PSNR_GAIN):
        assert means(row)[quantity] == means(without)[quantity]
    assert row.estimates[Quantity.SSIM].mean == pytest.approx(0.9)


def test_where_all_are_identical_there_is_no_psnr() -> None:
    (row,) = rows_of(image("a", math.inf, math.inf))
    assert set(row.estimates) == {Quantity.SSIM, Quantity.SSIM_RAINY, Quantity.SSIM_GAIN}


def test_every_grade_of_rain_has_a_row_after_that_of_all_images() -> None:
    rows = rows_of(
        image("a", 20.0, 10.0, RainDensity.HEAVY),
        image("b", 30.0, 20.0, RainDensity.LIGHT),
        image("c", 40.0, 20.0, RainDensity.LIGHT),
    )
    assert [(row.density, row.images) for row in rows] == [
        (None, 3),
        (RainDensity.LIGHT, 2),
        (RainDensity.HEAVY, 1),
    ]
    assert rows[1].estimates[Quantity.PSNR].mean == pytest.approx(35)
    assert rows[2].estimates[Quantity.PSNR].low is None


def test_what_is_not_known_has_no_column() -> None:
    headings, cells = build_table(rows_of(image("a", 20.0, None), image("b", 30.0, None)))
    assert headings == ["protocol", "rain", "images", "scenes", "PSNR derained", "SSIM derained"]
    assert cells[0][:4] == ["crdnet", "all", "2", "2"]
    assert cells[0][4].startswith("25.00 [20.00, 30.00]")


def test_text_is_aligned_and_markdown_is_a_table() -> None:
    rows = rows_of(
        image("a", 20.0, 10.0, RainDensity.NONE),
        image("b", 9.5, 10.0, RainDensity.NONE),
    )
    lines = format_text(rows).splitlines()
    assert len(lines) == 3
    assert len({line.index("+") if "+" in line else line.index("-0.") for line in lines[1:]}) == 1
    assert lines[2].split()[:4] == ["crdnet", "none", "2", "2"]
    markdown = format_markdown(rows, {"model": "default", "data": "somewhere"})
    assert "- model: `default`" in markdown
    table_lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(table_lines) == 4
    assert len({line.count("|") for line in table_lines}) == 1


def everything(*images: ImageScores) -> Evaluation:
    return Evaluation(("crdnet",), images, (Failure("x.png", "x.png: is broken"),))


def test_json_holds_everything_and_is_valid_though_psnr_is_infinite() -> None:
    evaluation = everything(
        image("ä.png", math.inf, 30.0, RainDensity.LIGHT),
        image("b", 20.0, None),
    )
    rows = summarise(evaluation, np.random.default_rng(0), resamples=100)

    def refuse(constant: str) -> Any:
        pytest.fail(f"{constant} is not JSON")

    document = json.loads(format_json(evaluation, rows, {"seed": 0}), parse_constant=refuse)
    assert document["images"][0]["derained"]["crdnet"] == {"psnr": None, "ssim": 0.9}
    assert document["images"][0]["rainy"]["crdnet"]["psnr"] == 30.0
    assert document["images"][0]["rain"] == "light"
    assert document["images"][1]["rainy"] is None
    assert document["failures"] == [{"name": "x.png", "message": "x.png: is broken"}]
    assert document["summary"][0]["psnr"] == {"mean": 20.0, "low": None, "high": None}
    assert document["summary"][0]["identical"] == 1
    assert document["about"]["seed"] == 0


def test_csv_has_a_line_for_every_image() -> None:
    text = format_csv(
        everything(image("a,1.png", math.inf, 30.0, RainDensity.LIGHT), image("b", 20.0, None)),
    )
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [line["name"] for line in lines] == ["a,1.png", "b"]
    assert float(lines[0]["psnr"]) == math.inf
    assert float(lines[0]["psnr_rainy"]) == 30.0
    assert lines[1]["psnr_rainy"] == ""
