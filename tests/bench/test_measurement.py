"""What is measured, in which order, and what follows from it."""

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
    measure,
    measurement,
    steps_in,
)
from crdnet.bench.cost import Cost
from crdnet.bench.limits import COPY, COPY_BYTES, PRODUCT_MACS, known_limits, limit_call
from crdnet.bench.measurement import rainy_picture, sides_of, warm_up_rounds
from crdnet.errors import CRDNetError, ModelError
from crdnet.runtime import find_model
from tests.runtime.tiny import write_tiny_model


class Recorded:
    """Stands in for a worker, and writes down what it is asked."""

    asked: list[str]

    def __init__(self, task: Mapping[str, Any], *_: object) -> None:
        self.name = task.get("device", "limits")
        self.said = {"device": self.name, "engine": "none, float32"}
        self.ready_seconds = 1.5
        self.asked.append(f"{self.name} starts")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.asked.append(f"{self.name} ends")

    def ask(self, question: str) -> Any:
        self.asked.append(f"{self.name} {question}")
        return 2**20


def test_those_of_one_size_take_turns_and_memory_is_read_before_the_network_runs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurement, "WorkerProcess", Recorded)
    monkeypatch.setattr(
        measurement, "known_limits", lambda **_: [(COPY, "numpy"), ("float32", "numpy")]
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
        *["one picture", "other picture"] * 12,
        *["one memory", "other memory", "limits starts"],
        *["one network", "other network", "limits copy numpy", "limits float32 numpy"] * 3,
        *["limits ends", "other ends", "one ends"],
    ]
    assert Recorded.asked == once * 2
    assert len(steps) == steps_in([0.001, 0.002], subjects=2, rounds=2)
    assert [(row.device, round(row.megapixels, 3)) for row in report.rows] == [
        ("one", 0.001),
        ("other", 0.001),
        ("one", 0.002),
        ("other", 0.002),
    ]
    assert (report.rows[0].first_seconds, report.rows[0].peak_bytes) == (1.5, 2**20)
    assert report.limits.keys() == {(COPY, "numpy"), ("float32", "numpy")}


def timing(milliseconds: float) -> Timing:
    milliseconds = float(milliseconds)
    return Timing(milliseconds, milliseconds * 0.9, milliseconds * 1.1, milliseconds * 0.8)


def made(precision: str, limits: dict[tuple[str, str], Timing], device: str = "cpu") -> Report:
    """A model of 10 kMAC and 100 samples a pixel that takes 250 ms for two megapixels."""
    row = Row(
        model="mine",
        device=device,
        engine=f"an engine 1.0, {precision}",
        height=1000,
        width=2000,
        network=timing(250),
        picture=timing(400),
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
    product, copy = (
        1e3 * PRODUCT_MACS / 160e9,
        1e3 * COPY_BYTES / 8e9,
    )  # milliseconds at these rates
    limits = {
        ("float32", "numpy"): timing(product),
        ("float32", "another"): timing(2 * product),
        ("bfloat16", "another"): timing(product / 2),
        (COPY, "numpy"): timing(copy),
    }
    # 2 megapixels / 0.25 s = 8 megapixels a second: 80 G multiplications; 3.2 GB in float32, 1.6 GB in bfloat16.
    plain, half = made("float32", limits), made("bfloat16", limits)
    assert plain.share_of_product(plain.rows[0]) == pytest.approx(0.5)
    assert half.share_of_product(half.rows[0]) == pytest.approx(0.25)
    assert plain.share_of_copy(plain.rows[0]) == pytest.approx(0.4)
    assert half.share_of_copy(half.rows[0]) == pytest.approx(0.2)
    assert (
        "| 2 | mine | cpu | float32 | 250 [225, 275] | 8.00 | 50 % | 40 % | 400 [360, 440] | 1.25 | not told |"
        in (as_markdown(plain))
    )


def test_a_limit_that_cannot_be_measured_is_said_to_be_not_measured() -> None:
    text = as_text(made("bfloat16", {("float32", "numpy"): timing(1), (COPY, "numpy"): timing(1)}))
    assert "matrix product in bfloat16 not measured" in text
    assert " 8.00  not measured " in text


def test_the_limits_of_the_processor_are_not_those_of_a_gpu() -> None:
    limits = {("bfloat16", "another"): timing(1), (COPY, "numpy"): timing(1)}
    report = made("bfloat16", limits, device="cuda")
    assert report.share_of_product(report.rows[0]) is None
    assert report.share_of_copy(report.rows[0]) is None


def test_without_openvino_only_numpy_tells_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crdnet.bench.limits.find_spec", lambda _: None)
    assert known_limits(in_bfloat16=True) == [(COPY, "numpy"), ("float32", "numpy")]


@pytest.mark.parametrize("limit", known_limits(in_bfloat16=False), ids=" ".join)
def test_every_limit_can_be_timed_again_and_again(
    limit: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crdnet.bench.limits.PRODUCT_SIDE", 16)
    monkeypatch.setattr("crdnet.bench.limits.COPY_SAMPLES", 1000)
    call = limit_call(limit, threads=2)
    call()
    call()


@pytest.mark.parametrize(
    ("megapixels", "size"), [(0.25, (433, 577)), (1e-6, (1, 1)), (0.0001, (9, 11))]
)
def test_the_picture_has_the_size_that_was_asked_for(
    megapixels: float, size: tuple[int, int]
) -> None:
    assert sides_of(megapixels) == size
    rainy = rainy_picture(*size)
    assert rainy.shape == (*size, 3)
    assert rainy.dtype == np.uint8


def test_the_rain_of_the_picture_is_at_full_size_however_large_it_is() -> None:
    derainer = Derainer("default", device="cpu")
    for megapixels in (0.25, 2.0):
        assert derainer.sense(rainy_picture(*sides_of(megapixels))).scale == 1


def test_what_a_worker_says_is_wrong_is_an_error_here(tmp_path: Path) -> None:
    np.save(tmp_path / "rainy.npy", rainy_picture(20, 30))
    theirs = write_tiny_model(tmp_path / "theirs.onnx", None)
    task = {
        "model": str(theirs),
        "device": "cpu",
        "threads": 1,
        "picture": str(tmp_path / "rainy.npy"),
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
def test_small_pictures_are_run_more_often_before_the_clock_runs(
    megapixels: float, rounds: int
) -> None:
    assert warm_up_rounds(megapixels) == rounds
