"""The ablation runs from beginning to end, resumes, and claims no more than its intervals allow."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.experiments import ablation_report as reporting
from benchmarks.experiments import ablation_runs as runs
from benchmarks.experiments.ablation import main
from click.testing import CliRunner, Result
from PIL import Image

from crdnet.evaluation import Estimate
from crdnet.nn import count_kilo_macs

STEPS = 4
TINY_RECIPE = """
data:
  mixture: {synthetic: 0.6, real: 0.3, zoom: [0.8, 1.2], jpeg_quality: [60, 98]}
  bank: {per_density: 1, side: 72, scales: [1.0]}
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A few images of 72 x 70 in the folders of the real ones."""
    rng = np.random.default_rng(0)
    root = tmp_path / "data"

    def save(place: str, image: np.ndarray) -> None:
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)

    for number in range(3):
        small = Image.fromarray(rng.integers(0, 150, (5, 6, 3), dtype=np.uint8))
        clean = np.asarray(small.resize((70, 72), Image.Resampling.BICUBIC)) // 2
        save(f"clean/{number}.png", clean)
        save(f"streaks/train/{number}-1.png", rng.integers(0, 60, (72, 72), dtype=np.uint8))
        for half in ("train", "val"):
            save(f"rain800/{half}/{number}.png", np.hstack([clean, clean + np.uint8(20)]))
        for grade, change in (("clean", 0), ("light", 5), ("medium", 20), ("heavy", 60)):
            save(f"val_synth/{grade}/{number}.png", clean + np.uint8(change))
    return root


def run_ablation(*arguments: object) -> Result:
    """Run the script in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def write_times(folder: Path) -> None:
    """Write step times: the published network's steps take twice as long as all others'."""
    folder.mkdir(exist_ok=True)
    measured = {name: {"median": 200.0 if name == "published" else 100.0} for name in runs.ROWS}
    machine = {"cpu": "a processor", "load": "0.0", "versions": {"torch": "2"}}
    (folder / runs.TIMES).write_text(json.dumps({"machine": machine, "milliseconds": measured}))


def test_all_rows_but_the_published_network_cost_the_same() -> None:
    costs = {
        name: sum(count_kilo_macs(row.build().eval()).values()) for name, row in runs.ROWS.items()
    }
    assert costs.pop("published") == pytest.approx(13.29, abs=0.01)
    assert all(cost == pytest.approx(14.8, abs=0.1) for cost in costs.values()), costs


def test_rows_are_timed_trained_scored_and_reported(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, document = tmp_path / "runs", tmp_path / "ablation.md"
    document.write_text(
        "Before.\n<!-- ablation: begin -->\noutdated\n<!-- ablation: end -->\nAfter.\n"
    )
    assert run_ablation("time", "-o", folder, "--rounds", "1").exit_code == 0
    (tmp_path / "recipe.yaml").write_text(TINY_RECIPE)
    monkeypatch.setattr(runs, "RECIPE", tmp_path / "recipe.yaml")
    runs.make_batches(data, folder, 0, STEPS)
    for name in ("published", "second-pass"):
        runs.run_one(data, folder, name, 0, STEPS)
    kept = (folder / f"second-pass-0-{STEPS}.json").stat().st_mtime_ns
    only = ("--only", "second-pass", "--only", "intensity", "--seed", "0")
    trained = run_ablation("train", "--data", data, "-o", folder, "--steps", STEPS, *only)
    assert trained.exit_code == 0, trained.output
    assert f"second-pass-0-{STEPS}.json: was there" in trained.stdout
    assert f"intensity-0-{STEPS}.json: done" in trained.stdout
    assert (folder / f"second-pass-0-{STEPS}.json").stat().st_mtime_ns == kept
    assert run_ablation("report", folder, "--steps", STEPS, "--into", document).exit_code == 0
    text = document.read_text()
    assert text.startswith("Before.\n")
    assert text.endswith("After.\n")
    assert "outdated" not in text
    assert "| published network | 13.29 | 904,546 |" in text
    assert "| with second pass → with sensing, ours | equal time |" in text
    assert "of 3 |" in text, "three dry images are graded"
    again = run_ablation("time", "-o", folder)
    assert (again.exit_code, again.stderr.count("\n")) == (1, 1), (
        "runs were scored at steps that follow from the first times"
    )


def test_a_run_cut_short_ends_where_an_unbroken_one_ends(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs"
    write_times(folder)
    (tmp_path / "recipe.yaml").write_text(TINY_RECIPE)
    monkeypatch.setattr(runs, "RECIPE", tmp_path / "recipe.yaml")
    runs.make_batches(data, folder, 0, STEPS)
    runs.run_one(data, folder, "published", 0, STEPS)
    result = runs.locate_result(folder, "published", 0, STEPS)
    unbroken = json.loads(result.read_text())
    assert {when: scored["step"] for when, scored in unbroken["scored"].items()} == {
        "equal steps": STEPS,
        "equal time": STEPS // 4,
    }
    result.unlink()
    (folder / f"published-0-{STEPS}-at-{STEPS}.safetensors").unlink()
    runs.run_one(data, folder, "published", 0, STEPS)
    assert json.loads(result.read_text()) == unbroken
    result.unlink()
    # All weights are there, so nothing is trained again.
    runs.locate_batches(folder, 0, STEPS).unlink()
    runs.run_one(data, folder, "published", 0, STEPS)
    assert json.loads(result.read_text()) == unbroken


def test_the_batches_follow_from_the_seed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipe.yaml").write_text(TINY_RECIPE)
    monkeypatch.setattr(runs, "RECIPE", tmp_path / "recipe.yaml")
    made = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / folder).mkdir()
        runs.make_batches(data, tmp_path / folder, seed, 2)
        made.append(np.load(runs.locate_batches(tmp_path / folder, seed, 2)))
    first, same, other = made
    assert first.shape == (2, 2, runs.BATCH, runs.SIDE, runs.SIDE, 3)
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
    assert (first[:, 0].astype(int) - first[:, 1]).mean() > 1, (
        "the first of each pair is the rainy one"
    )


@pytest.mark.parametrize("name", ["published", "intensity"])
def test_steps_on_one_batch_make_the_loss_smaller_and_the_average_follows(name: str) -> None:
    clean = np.random.default_rng(0).integers(0, 100, (4, 16, 16, 3)).repeat(4, 1).repeat(4, 2)
    pair = np.stack([clean + 60, clean]).astype(np.uint8)
    run = runs.Run(runs.ROWS[name], seed=0)
    began = {key: value.clone() for key, value in run.average.state_dict().items()}
    losses = [run.step(pair) for _ in range(25)]
    assert losses[-1] < 0.9 * losses[0]
    now = run.network.state_dict()
    between = [
        float(torch.norm(mean - now[key])) < float(torch.norm(began[key] - now[key]))
        for key, mean in run.average.state_dict().items()
        if mean.is_floating_point() and not torch.equal(began[key], now[key])
    ]
    assert np.mean(between) > 0.9


@pytest.mark.parametrize(
    ("low", "high", "by_seed", "verdict"),
    [
        (0.1, 0.3, [0.19, 0.2, 0.21], "better"),
        (-0.3, -0.1, [-0.19, -0.2, -0.21], "worse"),
        (-0.1, 0.5, [0.19, 0.2, 0.21], "the effect is smaller than its interval over scenes"),
        (0.1, 0.3, [0.0, 0.2, 0.4], "the effect is smaller than its interval over seeds"),
        (0.1, 0.3, [0.2], "better"),
        (None, None, [0.2], "the effect is smaller than its interval over scenes"),
    ],
)
def test_an_effect_is_claimed_where_it_is_larger_than_both_intervals(
    low: float | None, high: float | None, by_seed: list[float], verdict: str
) -> None:
    effect = reporting.Effect(Estimate(float(np.mean(by_seed)), low, high), by_seed)
    assert effect.verdict == verdict
    claimed = verdict in ("better", "worse") and len(by_seed) > 1
    assert effect.cell(2, "+").startswith("**") is claimed


def write_result(folder: Path, name: str, seed: int, psnrs: list[float], grades: list[str]) -> None:
    images = [
        {
            "name": f"{number}.png",
            "group": "val_synth/light",
            "scene": str(number // 2),
            "psnr": psnr,
            "grade": grade,
            "truth": "LIGHT",
        }
        for number, (psnr, grade) in enumerate(zip(psnrs, grades, strict=True))
    ]
    scored = {
        when: {"step": 9, "images": images} for when in (runs.AT_EQUAL_STEPS, runs.AT_EQUAL_TIME)
    }
    document = {
        "row": name,
        "seed": seed,
        "kilo_macs_per_pixel": 1.0,
        "parameters": 1,
        "scored": scored,
    }
    runs.locate_result(folder, name, seed, 9).write_text(json.dumps(document))


def test_rows_are_compared_by_image_with_the_seeds_that_both_have(tmp_path: Path) -> None:
    write_times(tmp_path)
    scenes = np.array([10.0, 10.0, 20.0, 20.0, 30.0, 30.0])
    right, wrong = ["LIGHT"] * 6, ["HEAVY"] * 6
    for seed in (0, 1):
        write_result(tmp_path, "code", seed, list(scenes + seed), wrong)
        write_result(tmp_path, "intensity", seed, list(scenes + 3 * seed + 1), right)
    write_result(tmp_path, "intensity", 2, list(scenes + 100), right)
    results = reporting.Results(tmp_path, 9)
    effect = results.mean(
        "intensity", "equal steps", reporting.get_psnr, "val_synth/light", against="code"
    )
    # Scenes differ by 10 dB; without pairing by image the interval would be as wide.
    assert effect is not None
    assert effect.over_scenes == Estimate(2.0, 2.0, 2.0)
    assert effect.by_seed == [1.0, 3.0]
    assert effect.seed_margin == pytest.approx(12.71, rel=1e-3)
    text = reporting.report(results, runs.read_times(tmp_path))
    effect_cell = "+2.00 [+2.00, +2.00] ± 12.71"
    change = "with sensing, MSE code → with sensing, ours | equal time"
    assert f"| {change} | - | {effect_cell} | - | - | {effect_cell} |" in text
    cells = "100.0 [100.0, 100.0] ± 0.0 | 0 of 0 | 0 of 18 | 0 of 18"
    assert f"| with sensing, ours | equal steps | {cells} |" in text
    assert "| 0 of 0 | 0 of 12 | 12 of 12 |" in text


@pytest.mark.parametrize(
    ("command", "rule"), [("train", "ablation time"), ("report", "holds no run of 4 steps")]
)
def test_missing_runs_are_an_error_of_one_line(command: str, rule: str, tmp_path: Path) -> None:
    where = (tmp_path,) if command == "report" else ("-o", tmp_path, "--data", "nowhere")
    result = run_ablation(command, *where, "--steps", 4)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert rule in result.stderr
    assert result.stderr.count("\n") == 1
