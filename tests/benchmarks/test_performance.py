"""Changes of speed are found, and the page of figures states the measured values."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from benchmarks.helpers import write_between_markers
from benchmarks.speed import performance, ratios
from benchmarks.speed.plot import QUOTED, draw_plot, list_measured_points, list_quoted_points
from click.testing import CliRunner

from crdnet.errors import DataError

NAME = "default, cpu, network"
PLACE = {
    "cpu": "a processor",
    "usable_cores": 2,
    "load": "0.1",
    "busy": False,
    "versions": {"Python": "3"},
}


def ratio(median: float, spread: float = 0.1) -> dict[str, float]:
    return {"median": median, "lower_quartile": median - spread, "upper_quartile": median + spread}


def report(**faster: float) -> dict[str, Any]:
    """A latency report in which the published network takes 300 ms."""
    names = {**faster, "published, PyTorch eager": 1.0}
    return {
        "machine": PLACE,
        "size": 512,
        "threads": 2,
        "rounds": 30,
        "timings": {
            name: {
                "median": 300 / each,
                "lower_quartile": 290 / each,
                "upper_quartile": 310 / each,
                "fastest": 280 / each,
            }
            for name, each in names.items()
        },
        "ratios": {name: ratio(each) for name, each in names.items()},
    }


@pytest.mark.parametrize(
    ("now", "verdict", "code"),
    [
        (5.0, "as before", 0),
        (4.85, "as before", 0),
        (4.75, "slower", 1),
        (5.25, "faster", 0),
        (2.0, "slower", 1),
    ],
)
def test_a_change_beyond_the_spread_is_printed(
    capsys: pytest.CaptureFixture[str], now: float, verdict: str, code: int
) -> None:
    committed, measured = (ratios.extract_ratios(report(**{NAME: each})) for each in (5.0, now))
    assert ratios.compare(committed, measured) == code
    printed = capsys.readouterr().out
    assert f"{NAME}  5.00 [4.90, 5.10] -> {now:.2f} " in printed
    assert printed.splitlines()[1].endswith(verdict)
    assert (f"Slower by more than the spread: {NAME}" in printed) == (verdict == "slower")


def test_on_another_kind_of_machine_ratios_may_differ(capsys: pytest.CaptureFixture[str]) -> None:
    committed, measured = (ratios.extract_ratios(report(**{NAME: each})) for each in (5.0, 2.0))
    committed["machine"] = committed["machine"] | {"cpu": "another"}
    assert ratios.compare(committed, measured) == 0
    printed = capsys.readouterr().out
    assert "of another kind of machine (another, " in printed
    assert "they may differ here" in printed
    assert "Slower by more than the spread" in printed


def test_what_is_new_or_not_measured_is_neither_slower_nor_faster() -> None:
    committed = ratios.extract_ratios(report(**{NAME: 5.0, "default, openvino, network": 12.0}))
    measured = ratios.extract_ratios(report(**{NAME: 5.0, "best, cpu, network": 1.0}))
    verdicts = {each.name: each.verdict for each in ratios.find_changes(committed, measured)}
    assert verdicts == {
        NAME: "as before",
        "default, openvino, network": "not measured",
        "best, cpu, network": "new",
    }


def test_what_was_written_is_read_and_holds_no_time(tmp_path: Path) -> None:
    document = ratios.extract_ratios(report(**{NAME: 5.0}))
    ratios.write_ratios(tmp_path / "ratios.json", document)
    assert ratios.read_ratios(tmp_path / "ratios.json") == document
    assert list(document["ratios"]) == [NAME]  # not the baseline's own
    assert document["machine"]["cpu"] == "a processor"
    assert "timings" not in document


@pytest.mark.parametrize("content", [None, "no JSON", "{}", "[]"])
def test_a_file_without_ratios_is_an_error(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ratios.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match="holds no ratios"):
        ratios.read_ratios(path)


def test_the_committed_ratios_can_be_read() -> None:
    assert NAME in ratios.read_ratios(ratios.RATIOS)["ratios"]


def test_the_comparison_reads_what_the_update_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(performance, "measure", lambda *_: report(**{NAME: 5.0}))
    monkeypatch.setattr("crdnet.bench.inspect_machine", lambda: PLACE)
    path = tmp_path / "ratios.json"
    for arguments in (["--update"], []):
        result = CliRunner().invoke(
            performance.main, ["compare", "--ratios", str(path), *arguments]
        )
        assert result.exit_code == 0, result.output
    assert json.loads(path.read_text())["ratios"][NAME]["median"] == 5


def test_on_a_busy_machine_nothing_is_measured_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(performance, "measure", lambda *_: pytest.fail("measured"))
    monkeypatch.setattr(
        "crdnet.bench.inspect_machine", lambda: PLACE | {"busy": True, "load": "9.0"}
    )
    path = tmp_path / "ratios.json"
    result = CliRunner().invoke(performance.main, ["compare", "--ratios", str(path), "--update"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: the machine is busy (load 9.0 on 2 cores)")
    assert not path.exists()


def test_a_part_between_markers_is_replaced_and_the_rest_kept(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text("Before.\n<!-- a: begin -->\nold\n<!-- a: end -->\nAfter.\n")
    write_between_markers(document, "a", "new")
    assert document.read_text() == "Before.\n<!-- a: begin -->\n\nnew\n<!-- a: end -->\nAfter.\n"


def test_a_document_without_markers_is_left_alone(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text("Text.\n<!-- b: begin -->\n<!-- b: end -->\n")
    with pytest.raises(DataError, match="has no lines <!-- a: begin -->"):
        write_between_markers(document, "a", "new")
    assert document.read_text() == "Text.\n<!-- b: begin -->\n<!-- b: end -->\n"


def test_the_plot_has_a_dot_for_what_was_measured_and_a_diamond_for_what_is_quoted() -> None:
    latency = report(**{NAME: 5.0, "default, cpu, as used": 4.0, "paper, cpu, network": 2.0})
    measured = list_measured_points(latency)
    assert {model: [point.name for point in each] for model, each in measured.items()} == {
        "default": ["cpu"],
        "paper": ["cpu", "PyTorch"],
    }
    assert measured["default"][0].milliseconds == 60
    quoted = list_quoted_points(latency)
    times = {point.name: point.milliseconds for point in quoted}
    assert times["PReNet"] == pytest.approx(
        60 * 1010 / 14.80, rel=1e-3
    )  # thousands of multiplications per pixel
    drawing = ElementTree.fromstring(draw_plot(measured, quoted))
    assert len(drawing.findall("{*}circle")) == 3
    texts = [text.text for text in drawing.findall("{*}text")]
    assert set(QUOTED) <= set(texts)
    assert "cpu 60 ms" in texts


def test_the_page_says_what_was_measured() -> None:
    latency = report(**{NAME: 5.0, "default, openvino, network": 12.0})
    table = performance.format_latency_part(latency)
    assert f"| {NAME} | 60.0 [58.0, 62.0] | 5.00 [4.90, 5.10] |" in table
    assert "a processor, 2 usable cores, load 0.1" in table
    startup = {
        "machine": PLACE,
        "rounds": 10,
        "commands": {
            "crdnet derain (512 x 512)": {
                "median": 465.0,
                "lower_quartile": 460.0,
                "upper_quartile": 470.0,
            }
        },
    }
    assert "| `crdnet derain (512 x 512)` | 465 [460, 470] |" in performance.format_commands_part(
        startup
    )
    sentence = performance.format_readme_part(latency, startup)
    assert "0.46 s from command to file" in sentence or "0.47 s from command to file" in sentence
    assert "25 ms in the network alone (device `openvino`), 12.0 times as fast" in sentence


def test_the_documents_have_the_places_that_are_written_to() -> None:
    document = performance.DOCUMENT.read_text(encoding="utf-8")
    for name in ("latency", "bench", "startup"):
        assert f"<!-- {name}: begin -->" in document
        assert f"<!-- {name}: end -->" in document
    assert "<!-- speed: begin -->" in performance.README.read_text(encoding="utf-8")
