"""Calls are timed in turns, under a description of the machine."""

import pytest

from crdnet.bench import Timing, format_machine, inspect_machine, time_in_turns


def test_the_calls_take_turns_and_the_first_rounds_are_not_counted() -> None:
    order: list[str] = []
    rounds: list[int] = []
    calls = [lambda: order.append("a"), lambda: order.append("b")]
    seconds = time_in_turns(calls, rounds=3, warm_up=2, on_round=lambda: rounds.append(len(order)))
    assert order == ["a", "b"] * 5
    assert rounds == [2, 4, 6, 8, 10]
    assert [len(each) for each in seconds] == [3, 3]


def test_a_timing_is_the_median_and_the_quartiles_in_milliseconds() -> None:
    summary = Timing.from_seconds([0.005, 0.001, 0.004, 0.002, 0.003])
    assert summary.to_dict() == pytest.approx(
        {"median": 3, "lower_quartile": 2, "upper_quartile": 4, "fastest": 1}
    )


def test_a_machine_with_other_work_is_reported_as_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    for load, busy in ((0.2, False), (4000.0, True)):
        monkeypatch.setattr("os.getloadavg", lambda load=load: (load, load, load))
        assert inspect_machine()["busy"] is busy
        assert ("BUSY WITH OTHER WORK" in format_machine(inspect_machine())) is busy


def test_the_description_of_the_machine_holds_what_times_depend_on() -> None:
    place = inspect_machine()
    assert place["cpu"]
    assert place["usable_cores"] >= 1
    assert {"Python", "numpy", "onnxruntime", "crdnet"} <= place["versions"].keys()
