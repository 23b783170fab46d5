"""Measurements of engines: their order, their sizes, and the figures computed from them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from crdnet import Derainer
from crdnet.bench import (
    Report,
    Row,
    Subject,
    Timing,
    WorkerProcess,
    as_markdown,
    as_text,
    count_steps,
    measure,
    measurement,
)
from crdnet.bench.cost import Cost
from crdnet.bench.limits import COPY, COPY_BYTES, PRODUCT_MACS, list_limits, make_limit_call
from crdnet.bench.measurement import compute_sides, count_warm_up_rounds, draw_rainy_image
from crdnet.errors import CRDNetError, ModelError
from crdnet.runtime import find_model
from tests.runtime.tiny import write_tiny_model


class Recorded:
    """Stand-in for a worker that records the requests."""

    asked: list[str]

    def __init__(self, task: Mapping[str, Any], *_: object) -> None:
        self.name = task.get("device", "limits")
        self.description = {"device": self.name, "engine": "none, float32"}
        self.ready_seconds = 1.5
        self.asked.append(f"{self.name} starts")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.asked.append(f"{self.name} ends")

    def ask(self, request: str) -> Any:
        self.asked.append(f"{self.name} {request}")
        return 2**20


def test_rows_of_a_size_take_turns_and_memory_is_read_before_the_network_runs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurement, "WorkerProcess", Recorded)
    monkeypatch.setattr(
        measurement, "list_limits", lambda **_: [(COPY, "numpy"), ("float32", "numpy")]
    )
    Recorded.asked = []
    model = find_model(write_tiny_model(tmp_path / "tiny.onnx"))
    steps: list[int] = []
    report = measure(
        [Subject(model, "one"), Subject(model, "other")],
        [0.001, 0.002],
        threads=1,
        rounds=2,
        on_step=lambda: steps.append(1),
    )
    once = [
        *["one starts", "other starts"],
        *["one image", "other image"] * 12,
        *["one memory", "other memory", "limits starts"],
        *["one network", "other network", "limits copy numpy", "limits float32 numpy"] * 3,
        *["limits ends", "other ends", "one ends"],
    ]
    assert Recorded.asked == once * 2
    assert len(steps) == count_steps([0.001, 0.002], subjects=2, rounds=2)
    assert [(row.device, round(row.megapixels, 3)) for row in report.rows] == [
        ("one", 0.001),
        ("other", 0.001),
        ("one", 0.002),
        ("other", 0.002),
    ]
    assert (report.rows[0].first_seconds, report.rows[0].peak_bytes) == (1.5, 2**20)
    assert report.limits.keys() == {(COPY, "numpy"), ("float32", "numpy")}


def make_timing(milliseconds: float) -> Timing:
    milliseconds = float(milliseconds)
    return Timing(milliseconds, milliseconds * 0.9, milliseconds * 1.1, milliseconds * 0.8)


def make_report(
    precision: str, limits: dict[tuple[str, str], Timing], device: str = "cpu"
) -> Report:
    """Return a report: 10 kMAC and 100 samples per pixel, 250 ms for two megapixels."""
    row = Row(
        model="mine",
        device=device,
        engine=f"an engine 1.0, {precision}",
        height=1000,
        width=2000,
        network=make_timing(250),
        image=make_timing(400),
        first_seconds=1.25,
        peak_bytes=None,
        cost=Cost(10_000.0, 100.0),
    )
    place = {
        "cpu": "a processor",
        "usable_cores": 2,
        "load": "0.1",
        "busy": False,
        "versions": {"Python": "3"},
    }
    return Report(place, threads=2, rounds=5, limits=limits, rows=[row])


def test_shares_are_of_the_limit_of_the_same_precision_and_of_the_fastest_library() -> None:
    # Milliseconds at 160 G multiplications and 8 GB per second.
    product, copy = 1e3 * PRODUCT_MACS / 160e9, 1e3 * COPY_BYTES / 8e9
    limits = {
        ("float32", "numpy"): make_timing(product),
        ("float32", "another"): make_timing(2 * product),
        ("bfloat16", "another"): make_timing(product / 2),
        (COPY, "numpy"): make_timing(copy),
    }
    # 2 megapixels / 0.25 s = 8 megapixels per second: 80 G multiplications; 3.2 GB in float32,
    # 1.6 GB in bfloat16.
    plain, half = make_report("float32", limits), make_report("bfloat16", limits)
    assert plain.compute_product_share(plain.rows[0]) == pytest.approx(0.5)
    assert half.compute_product_share(half.rows[0]) == pytest.approx(0.25)
    assert plain.compute_copy_share(plain.rows[0]) == pytest.approx(0.4)
    assert half.compute_copy_share(half.rows[0]) == pytest.approx(0.2)
    cells = "2 | mine | cpu | float32 | 250 [225, 275] | 8.00 | 50 % | 40 % | 400 [360, 440] | 1.25"
    assert f"| {cells} | unknown |" in as_markdown(plain)


def test_a_limit_that_cannot_be_measured_is_said_to_be_not_measured() -> None:
    text = as_text(
        make_report(
            "bfloat16", {("float32", "numpy"): make_timing(1), (COPY, "numpy"): make_timing(1)}
        )
    )
    assert "matrix product in bfloat16 not measured" in text
    assert " 8.00  not measured " in text


def test_the_limits_of_the_processor_are_not_those_of_a_gpu() -> None:
    limits = {("bfloat16", "another"): make_timing(1), (COPY, "numpy"): make_timing(1)}
    report = make_report("bfloat16", limits, device="cuda")
    assert report.compute_product_share(report.rows[0]) is None
    assert report.compute_copy_share(report.rows[0]) is None


def test_without_openvino_numpy_alone_measures_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crdnet.bench.limits.find_spec", lambda _: None)
    assert list_limits(in_bfloat16=True) == [(COPY, "numpy"), ("float32", "numpy")]


@pytest.mark.parametrize("limit", list_limits(in_bfloat16=False), ids=" ".join)
def test_every_limit_can_be_timed_again_and_again(
    limit: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crdnet.bench.limits.PRODUCT_SIDE", 16)
    monkeypatch.setattr("crdnet.bench.limits.COPY_SAMPLES", 1000)
    call = make_limit_call(limit, threads=2)
    call()
    call()


@pytest.mark.parametrize(
    ("megapixels", "size"), [(0.25, (433, 577)), (1e-6, (1, 1)), (0.0001, (9, 11))]
)
def test_the_drawn_image_has_the_requested_size(megapixels: float, size: tuple[int, int]) -> None:
    assert compute_sides(megapixels) == size
    rainy = draw_rainy_image(*size)
    assert rainy.shape == (*size, 3)
    assert rainy.dtype == np.uint8


def test_the_rain_of_the_drawn_image_is_sensed_at_full_size_at_every_size() -> None:
    derainer = Derainer("default", device="cpu")
    for megapixels in (0.25, 2.0):
        assert derainer.sense(draw_rainy_image(*compute_sides(megapixels))).scale == 1


def test_an_error_in_a_worker_is_raised_where_it_was_started(tmp_path: Path) -> None:
    np.save(tmp_path / "rainy.npy", draw_rainy_image(20, 30))
    theirs = write_tiny_model(tmp_path / "theirs.onnx", None)
    task = {
        "model": str(theirs),
        "device": "cpu",
        "threads": 1,
        "rainy": str(tmp_path / "rainy.npy"),
    }
    with pytest.raises(CRDNetError, match="not a crdnet model"), WorkerProcess(task):
        pass


def test_a_worker_that_is_killed_is_an_error_that_says_so() -> None:
    with WorkerProcess({"limits": [], "threads": 1}) as worker:
        worker._process.kill()
        with pytest.raises(CRDNetError, match=r"ended with -9 and no answer; if memory ran out"):
            worker.ask("copy numpy")


def test_a_model_is_checked_before_any_worker_starts(tmp_path: Path) -> None:
    theirs = find_model(write_tiny_model(tmp_path / "theirs.onnx", None))
    with pytest.raises(ModelError, match="not a crdnet model"):
        measure([Subject(theirs, "cpu")], [0.001], threads=1, rounds=1)


@pytest.mark.parametrize(("megapixels", "rounds"), [(0.01, 10), (0.25, 10), (2.0, 2), (12.0, 1)])
def test_small_images_get_more_rounds_of_warm_up(megapixels: float, rounds: int) -> None:
    assert count_warm_up_rounds(megapixels) == rounds
