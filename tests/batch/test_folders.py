"""Folders from Python: `crdnet.derain_folder` and `crdnet.sense_folder`."""

import pickle
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import crdnet
from crdnet import BatchOptions, DerainOptions, Outcome
from crdnet.batch import DerainRun, plan_deraining
from crdnet.errors import ArgumentError, ModelError
from crdnet.files import hold_lock
from crdnet.runtime import Network
from tests.cli.sensing_model import write_sensing_model
from tests.runtime.tiny import write_tiny_model


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> BatchOptions:
    model = write_sensing_model(tmp_path_factory.mktemp("models") / "sensing.onnx")
    return BatchOptions(model=model, device="cpu")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with a dry image, one in medium rain (intensity 20), and one in heavy rain below."""
    for name, level in {"dry.png": 0, "medium.png": 51, "deep/heavy.png": 255}.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((24, 40, 3), level, np.uint8)).save(path)
    return tmp_path / "photos"


def statuses(outcomes: Iterator[Outcome]) -> dict[str, str]:
    return {Path(outcome.input).name: outcome.status for outcome in outcomes}


def test_a_tree_is_derained_and_yields_an_outcome_for_each_image(
    photos: Path, tmp_path: Path, options: BatchOptions
) -> None:
    clean = tmp_path / "clean"
    outcomes = {
        Path(each.input).name: each
        for each in crdnet.derain_folder(photos, clean, recursive=True, options=options)
    }
    assert set(outcomes) == {"dry.png", "medium.png", "heavy.png"}
    heavy = outcomes["heavy.png"]
    assert heavy.source == photos / "deep" / "heavy.png"
    assert heavy.output == clean / "deep" / "heavy.png"
    assert (heavy.status, heavy.density) == ("done", crdnet.RainDensity.HEAVY)
    assert (heavy.width, heavy.height, heavy.dry, heavy.left_alone) == (40, 24, False, False)
    assert np.asarray(Image.open(clean / "medium.png")).max() == 26
    dry = outcomes["dry.png"]
    assert (dry.status, dry.dry, dry.left_alone) == ("dry", True, True)
    assert (clean / "dry.png").read_bytes() == (photos / "dry.png").read_bytes()
    assert pickle.loads(pickle.dumps(dry)) == dry


def test_a_callback_gets_each_outcome_and_the_call_returns_the_counts(
    photos: Path, tmp_path: Path, options: BatchOptions
) -> None:
    seen: list[Outcome] = []
    counts = crdnet.derain_folder(
        photos, tmp_path / "clean", options=options, on_outcome=seen.append
    )
    assert counts == Counter(done=1, dry=1)
    assert sorted(Path(each.input).name for each in seen) == ["dry.png", "medium.png"]


def test_nothing_is_done_before_the_first_outcome_is_asked_for(
    photos: Path, tmp_path: Path, options: BatchOptions
) -> None:
    outcomes = crdnet.derain_folder(photos, tmp_path / "clean", options=options)
    assert not (tmp_path / "clean").exists()
    next(outcomes)
    assert (tmp_path / "clean").exists()


def test_a_run_that_was_left_early_goes_on_where_it_stopped(
    photos: Path, tmp_path: Path, options: BatchOptions
) -> None:
    for each in range(12):
        Image.fromarray(np.full((24, 40, 3), each, np.uint8)).save(photos / f"{each}.png")
    clean = tmp_path / "clean"
    outcomes = crdnet.derain_folder(photos, clean, recursive=True, options=options)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert not list(clean.rglob("*.part"))
    made = len(list(clean.rglob("*.png")))
    assert 1 <= made < 15
    again = list(crdnet.derain_folder(photos, clean, recursive=True, options=options))
    assert sum(each.resumed for each in again) == made
    assert len(list(clean.rglob("*.png"))) == len(again) == 15


def test_a_run_that_is_asked_to_stop_finishes_what_is_in_work(
    photos: Path, tmp_path: Path, options: BatchOptions
) -> None:
    for each in range(12):
        Image.fromarray(np.full((24, 40, 3), each, np.uint8)).save(photos / f"{each}.png")
    plan = plan_deraining([photos], tmp_path / "clean", replace(options, jobs=1))
    with DerainRun(plan) as run:
        seen = []
        for outcome in run:
            seen.append(outcome)
            run.stop()
    assert 1 <= len(seen) < len(run.to_do)
    assert {each.status for each in seen} <= {"done", "dry"}
    assert len(list((tmp_path / "clean").glob("*.png"))) == len(seen)


def test_an_interruption_leaves_whole_files_and_a_folder_that_is_free(
    photos: Path, tmp_path: Path, options: BatchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = tmp_path / "clean"

    def interrupt(_: Outcome) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crdnet.derain_folder(photos, clean, recursive=True, options=options, on_outcome=interrupt)
    assert not list(clean.rglob("*.part"))
    with hold_lock(clean / ".crdnet" / "lock") as ours:
        assert ours
    again = crdnet.derain_folder(photos, clean, recursive=True, options=options)
    assert {each.status for each in again} <= {"done", "dry", "skipped"}


def test_a_bad_file_is_an_outcome_and_the_others_are_done(
    photos: Path, tmp_path: Path, options: BatchOptions
) -> None:
    (photos / "bad.png").write_text("no image")
    outcomes = list(crdnet.derain_folder(photos, tmp_path / "clean", options=options))
    (bad,) = (each for each in outcomes if each.status == "failed")
    assert bad.source == photos / "bad.png"
    assert "bad.png" in str(bad.reason)
    assert isinstance(bad.error, crdnet.CRDNetError)
    assert bad.density is None
    assert len(outcomes) == 3


def test_a_fault_of_ours_costs_one_image(
    photos: Path, tmp_path: Path, options: BatchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(Network, "derain", fail)  # of images that are not dry
    outcomes = crdnet.derain_folder(photos, tmp_path / "clean", options=options)
    assert statuses(outcomes) == {"dry.png": "dry", "medium.png": "failed"}


def test_inputs_with_one_output_are_refused_in_words_of_the_call(
    photos: Path, tmp_path: Path, options: BatchOptions
) -> None:
    Image.new("RGB", (8, 8)).save(photos / "dry.bmp")
    webp = replace(options, derain=DerainOptions(format="webp"))
    with pytest.raises(ArgumentError, match=r"would both be written.*omit `format`"):
        crdnet.derain_folder(photos, tmp_path / "clean", options=webp)
    with pytest.raises(ArgumentError, match="`destination`"):
        crdnet.derain_folder(photos, tmp_path / "clean.png", options=options)


def test_results_of_another_run_are_not_mixed(
    photos: Path, tmp_path: Path, options: BatchOptions
) -> None:
    clean = tmp_path / "clean"
    list(crdnet.derain_folder(photos, clean, options=options))
    half = replace(options, derain=DerainOptions(strength=0.5))
    with pytest.raises(ArgumentError, match=r"strength was 1\.0 and is 0\.5.*`overwrite=True`"):
        list(crdnet.derain_folder(photos, clean, options=half))
    list(crdnet.derain_folder(photos, clean, options=replace(half, overwrite=True)))


def test_rain_goes_into_a_folder_of_its_own(
    photos: Path, tmp_path: Path, options: BatchOptions
) -> None:
    with_rain = replace(options, rain=tmp_path / "rain")
    outcomes = list(crdnet.derain_folder(photos, tmp_path / "clean", options=with_rain))
    assert {each.rain for each in outcomes} == {
        tmp_path / "rain" / "dry.png",
        tmp_path / "rain" / "medium.png",
    }
    rain, clean = (
        np.asarray(Image.open(tmp_path / each / "medium.png")) for each in ("rain", "clean")
    )
    np.testing.assert_array_equal(rain.astype(int) + clean, 51)


def test_a_dry_run_plans_and_touches_nothing(
    photos: Path, tmp_path: Path, options: BatchOptions
) -> None:
    outcomes = crdnet.derain_folder(
        photos, tmp_path / "clean", options=replace(options, dry_run=True)
    )
    assert statuses(outcomes) == {"dry.png": "planned", "medium.png": "planned"}
    assert not (tmp_path / "clean").exists()


def test_dry_is_a_finding_and_left_alone_is_what_was_done(
    photos: Path, tmp_path: Path, options: BatchOptions
) -> None:
    for derain, found in {
        DerainOptions(): ("dry", True, True),
        DerainOptions(always=True): ("done", True, False),
        DerainOptions(format="webp"): ("dry", True, False),
    }.items():
        (outcome,) = crdnet.derain_folder(
            photos / "dry.png",
            f"{tmp_path / 'clean'}/",
            options=replace(options, derain=derain, overwrite=True),
        )
        assert (outcome.status, outcome.dry, outcome.left_alone) == found


def test_a_folder_is_sensed_and_nothing_is_written(photos: Path, options: BatchOptions) -> None:
    before = set(photos.parent.rglob("*"))
    outcomes = {
        Path(each.input).name: each
        for each in crdnet.sense_folder(photos, recursive=True, options=options)
    }
    assert {name: each.density for name, each in outcomes.items()} == {
        "dry.png": crdnet.RainDensity.NONE,
        "medium.png": crdnet.RainDensity.MEDIUM,
        "heavy.png": crdnet.RainDensity.HEAVY,
    }
    assert outcomes["medium.png"].output is None
    assert set(photos.parent.rglob("*")) == before
    assert crdnet.sense_folder(photos, options=options, on_outcome=print) == Counter(done=2)


def test_a_model_that_is_not_there_or_does_not_sense_is_refused(
    photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="nope"):
        crdnet.sense_folder(photos, options=BatchOptions(model="nope"))
    tiny = write_tiny_model(tmp_path / "tiny.onnx")
    with pytest.raises(ArgumentError, match="the `model` 'tiny' does not sense rain"):
        list(crdnet.sense_folder(photos, options=BatchOptions(model=tiny)))


@pytest.mark.parametrize(
    "wrong", [{"jobs": 0}, {"overwrite": True, "skip_existing": True}], ids=str
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="`"):
        BatchOptions(**wrong)


def test_a_file_called_minus_is_no_standard_output(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-").touch()
    source = photos / "dry.png"
    assert [job.output for job in plan_deraining(source, "./-").jobs] == [Path("-")]
    assert [job.output for job in plan_deraining(source, "-").jobs] == [None]
