"""Comparisons of methods, and the page that shows them."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from crdnet.data import Pair, find_pairs
from crdnet.evaluation import (
    Case,
    Evaluation,
    ImageScores,
    LoadedCase,
    compare_methods,
    html_report,
    keep_common_images,
    make_saved_pair_cases,
    summarise,
)
from crdnet.evaluation.html_report import MethodReport, Thumbnails, encode_jpeg, format_html
from crdnet.metrics import Scores
from tests.cli.runner import Crdnet
from tests.evaluation.conftest import rain_on, save, scene

BOTH = ("restormer-y", "crdnet")


@pytest.fixture
def crdnet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Crdnet:
    return Crdnet(monkeypatch, capsys)


def make_evaluation(
    psnrs: list[float], protocols: tuple[str, ...] = ("restormer-y",)
) -> Evaluation:
    images = tuple(
        ImageScores(
            f"{index}.png",
            f"scene {index // 2}",
            None,
            {name: Scores(psnr, min(psnr, 50.0) / 50) for name in protocols},
            {name: Scores(20.0, 0.4) for name in protocols},
        )
        for index, psnr in enumerate(psnrs)
    )
    return Evaluation(protocols, images, ())


def noise(spread: float, count: int = 40) -> list[float]:
    return list(np.random.default_rng(0).normal(28, spread, count))


def test_a_constant_difference_is_certain_however_scores_scatter() -> None:
    ours = noise(5.0)
    theirs = [psnr - 0.25 for psnr in ours]
    evaluations = {"ours": make_evaluation(ours), "theirs": make_evaluation(theirs)}
    (difference,) = compare_methods(evaluations, np.random.default_rng(0))
    assert difference.psnr is not None
    assert (difference.psnr.low, difference.psnr.mean, difference.psnr.high) == pytest.approx(
        (0.25, 0.25, 0.25)
    )
    assert (difference.images, difference.scenes) == (40, 20)


def test_the_interval_of_equal_methods_holds_zero() -> None:
    rng = np.random.default_rng(1)
    ours = noise(5.0)
    theirs = [psnr + rng.normal() for psnr in ours]
    evaluations = {"ours": make_evaluation(ours), "theirs": make_evaluation(theirs)}
    (difference,) = compare_methods(evaluations, np.random.default_rng(0))
    assert difference.psnr is not None
    assert difference.psnr.low is not None
    assert difference.psnr.high is not None
    assert difference.psnr.low < 0 < difference.psnr.high


def test_intervals_do_not_depend_on_the_other_protocols() -> None:
    alone = summarise(make_evaluation(noise(3.0)), np.random.default_rng(4))
    together = summarise(make_evaluation(noise(3.0), BOTH[::-1]), np.random.default_rng(4))
    (same,) = (row for row in together if row.protocol == "restormer-y")
    assert alone == [same]


def test_an_identical_image_counts_for_ssim_only() -> None:
    ours, theirs = make_evaluation([30.0, np.inf, 31.0, 32.0]), make_evaluation([29.0] * 4)
    (difference,) = compare_methods({"a": ours, "b": theirs}, np.random.default_rng(0))
    assert difference.images == 3
    assert difference.psnr is not None
    assert difference.psnr.mean == pytest.approx(2)


def test_methods_with_different_images_are_compared_on_the_common_ones() -> None:
    ours, theirs = make_evaluation(noise(1.0, 5)), make_evaluation(noise(1.0, 5))
    theirs = replace(theirs, images=theirs.images[:-2])
    kept, failures = keep_common_images({"ours": ours, "theirs": theirs})
    assert [len(each.images) for each in kept.values()] == [3, 3]
    (failure,) = failures
    assert failure.message.startswith(
        "theirs: lacks 2 of 5 images, such as 3.png; methods are compared on the 3 that all have"
    )


@pytest.fixture
def numbered(tmp_path: Path) -> list[Pair]:
    """Rain100L's names."""
    for number in range(1, 4):
        save(scene(number), tmp_path / "set" / f"norain-{number:03}.png")
        save(rain_on(scene(number), 20), tmp_path / "set" / f"rain-{number:03}.png")
    return find_pairs(tmp_path / "set")


@pytest.mark.parametrize(
    ("saved", "names"),
    [
        ("rain-{}", None),
        ("norain-{}", None),
        ("rain-{}_derained", None),
        ("rain-{}x2", None),
        ("restored_rain-{}", "restored_{stem}"),
    ],
)
def test_results_are_found_by_several_names(
    numbered: list[Pair], tmp_path: Path, saved: str, names: str | None
) -> None:
    for number in range(1, 4):
        save(scene(number), tmp_path / "results" / f"{saved.format(f'{number:03}')}.png")
    cases, failures = make_saved_pair_cases(numbered, tmp_path / "results", names)
    assert failures == []
    assert len(cases) == 3
    assert all(np.array_equal(case.load().derained, case.load().clean) for case in cases)


def test_a_pattern_of_names_that_is_not_understood_is_refused(
    numbered: list[Pair], tmp_path: Path, crdnet: Crdnet
) -> None:
    save(scene(1), tmp_path / "results" / "rain-001.png")
    ended = crdnet(
        "evaluate", "--data", tmp_path / "set", "--results", tmp_path / "results", "--names", "{x}"
    )
    assert ended.code == 1
    assert "write {stem} for" in ended.err


@pytest.fixture
def methods(root: Path, tmp_path: Path) -> dict[str, Path]:
    """Results of two methods on the data set `root`: the second leaves more rain."""
    folders = {name: tmp_path / name for name in ("good", "bad")}
    for grade in ("light", "heavy"):
        for number in range(3):
            for (_, folder), rest in zip(folders.items(), (2, 8), strict=True):
                save(rain_on(scene(number), rest), folder / grade / f"{number}.png")
    return folders


class Checker(HTMLParser):
    """Collects what a page would load, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(
        self,
        tag: str,  # noqa: ARG002 - the base class passes it
        attrs: list[tuple[str, str | None]],
    ) -> None:
        self.addresses += [value or "" for key, value in attrs if key in ("src", "href")]


def test_methods_are_compared_side_by_side_on_one_page(
    crdnet: Crdnet, root: Path, methods: dict[str, Path], tmp_path: Path
) -> None:
    page, report = tmp_path / "report.html", tmp_path / "report.json"
    results = [f"--results={name}={folder}" for name, folder in methods.items()]
    ended = crdnet("evaluate", "--data", root, *results, "--html", page, "-o", report)
    assert (ended.code, ended.err) == (0, "")
    assert re.search(r"good minus bad: PSNR \+1\d\.\d\d \[", ended.out)
    text = page.read_text()
    checker = Checker()
    checker.feed(text)
    assert checker.addresses
    assert all(address.startswith("data:image/jpeg;base64,") for address in checker.addresses)
    assert "http" not in text.replace("http-equiv", "")
    for expected in ("good PSNR", "Worst images", 'type="range"', "<svg", "restormer-y"):
        assert expected.split()[0] in text
    (listed,) = re.findall(r"const images = (.*), methods = ", text)
    assert [len(image["scores"]) for image in json.loads(listed)] == [2] * 6
    document = json.loads(report.read_text())
    assert document["differences"][0]["psnr"]["low"] > 0
    assert {"seed", "sizes", "date", "numpy", "crdnet"} <= document["about"].keys()


def test_different_image_sets_are_one_line_and_exit_code_1(
    crdnet: Crdnet, root: Path, methods: dict[str, Path]
) -> None:
    (methods["bad"] / "heavy" / "2.png").unlink()
    results = [f"--results={folder}" for folder in methods.values()]
    ended = crdnet("evaluate", "--data", root, *results)
    assert ended.code == 1
    assert "bad: lacks 1 of 6 images, such as heavy/2.png" in ended.err


def test_names_cannot_end_the_script_of_the_page(
    crdnet: Crdnet, tmp_path: Path, root: Path
) -> None:
    evil = "<img src=x>"
    save(scene(0), tmp_path / "a" / f"{evil}.png")
    save(scene(0), tmp_path / "b" / f"{evil}.png")
    page = tmp_path / "page.html"
    ended = crdnet(
        "evaluate", "--target", tmp_path / "a", "--results", tmp_path / "b", "--html", page
    )
    assert ended.code == 0, ended.err
    assert evil not in page.read_text()


def test_the_page_of_five_thousand_images_stays_below_thirty_megabytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evaluations = {"a": make_evaluation(noise(3.0, 5000)), "b": make_evaluation(noise(2.0, 5000))}
    thumbnails = Thumbnails(2 * 5000)
    coarse = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    detailed = np.asarray(Image.fromarray(coarse).resize((640, 480)))
    encoded = encode_jpeg(detailed, thumbnails.side, 60)
    # Every image is as large as this one, which is encoded once.
    monkeypatch.setattr(html_report, "encode_jpeg", lambda *_: encoded)
    loaded = LoadedCase(detailed, detailed)
    for name, evaluation in evaluations.items():
        for image in evaluation.images:
            pair = Pair(image.name, image.scene, Path(image.name), Path(image.name))
            thumbnails.add(name, Case(pair, lambda: loaded), loaded)
    methods = [
        MethodReport(name, each, summarise(each, np.random.default_rng(0)))
        for name, each in evaluations.items()
    ]
    page = format_html(methods, {"a": [], "b": []}, thumbnails, [], {})
    assert page.count(encoded) == 10_000
    assert len(page.encode()) < 30_000_000


def test_the_page_sorts_filters_and_slides_in_a_browser(
    crdnet: Crdnet, root: Path, methods: dict[str, Path], tmp_path: Path, browser: Any
) -> None:
    results = [f"--results={name}={folder}" for name, folder in methods.items()]
    ended = crdnet("evaluate", "--data", root, *results, "--html", tmp_path / "report.html")
    assert ended.code == 0, ended.err
    page = browser.new_page(viewport={"width": 360, "height": 740})
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "report.html").as_uri())

    rows = page.locator("#images tbody tr")
    gains = [float(row.locator("td").nth(5).inner_text()) for row in rows.all()]
    page.get_by_role("button", name="good gain").click()
    shown = [float(row.locator("td").nth(5).inner_text()) for row in rows.all()]
    assert shown == sorted(gains)
    page.locator("#filter").fill("heavy")
    assert rows.count() == 3
    assert rows.locator("img").count() == 2 * 3

    slider = page.locator(".slider").first
    over = slider.locator("img.over")
    assert over.get_attribute("data-version") == "rainy"
    slider.get_by_label("border between the images").fill("80")
    assert over.evaluate("image => image.style.clipPath").startswith("inset(0px 20% 0px 0px")
    slider.get_by_label("left image").select_option("bad")
    slider.get_by_label("right image").select_option("clean")
    visible = slider.locator("img:not([hidden])")
    assert {each.get_attribute("data-version") for each in visible.all()} == {"bad", "clean"}

    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert complaints == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_weights_of_a_run_are_scored_like_a_model(
    crdnet: Crdnet, root: Path, tmp_path: Path
) -> None:
    import torch  # noqa: PLC0415

    from crdnet.nn import build_residual_crdnet, save_weights  # noqa: PLC0415

    torch.manual_seed(0)
    save_weights(
        build_residual_crdnet(width=4, scale_widths=[4, 5, 6], streak_width=2),
        tmp_path / "tiny.safetensors",
    )
    report = tmp_path / "report.json"
    ended = crdnet(
        "evaluate", "--data", root, "-m", tmp_path / "tiny.safetensors", "-o", report, "-d", "cpu"
    )
    assert ended.code == 0, ended.err
    about = json.loads(report.read_text())["about"]
    assert len(about["model_sha256"]) == 64
    assert "onnxruntime" in about["engine"]
