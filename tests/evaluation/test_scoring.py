import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from crdnet.data import Pair
from crdnet.density import RainDensity
from crdnet.errors import CRDNetError
from crdnet.evaluation import assign_seen_scenes, evaluate, make_model_cases
from crdnet.metrics import PROTOCOLS, score

from .conftest import rain_on, save, scene

Floats = npt.NDArray[np.float32]


def unchanged(rainy: Floats) -> Floats:
    return rainy


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_derainer_that_changes_nothing_scores_as_its_input_under_every_protocol(
    pairs: list[Pair], jobs: int
) -> None:
    evaluation = evaluate(make_model_cases(pairs, unchanged), list(PROTOCOLS), jobs=jobs)
    assert [image.name for image in evaluation.images] == [pair.name for pair in pairs]
    assert not evaluation.failures
    for image in evaluation.images:
        assert set(image.derained) == set(PROTOCOLS)
        assert image.derained == image.rainy


def test_what_leaves_the_range_reaches_the_protocol_that_does_not_clip(pairs: list[Pair]) -> None:
    def overshoot(rainy: Floats) -> Floats:
        return 4 * rainy - 1

    evaluation = evaluate(make_model_cases(pairs[:1], overshoot), ["crdnet", "toolbox-rgb"])
    loaded = pairs[0].load()
    derained = overshoot(loaded.rainy.astype(np.float32) / np.float32(255))
    assert derained.min() < 0
    assert derained.max() > 1
    for protocol in ("crdnet", "toolbox-rgb"):
        assert evaluation.images[0].derained[protocol] == score(derained, loaded.clean, protocol)
    assert (
        score(
            np.clip(derained, 0, 1),
            loaded.clean,
            "crdnet",
        )
        != evaluation.images[0].derained["crdnet"]
    )


def test_the_density_and_the_scene_of_a_pair_stay_with_its_scores(pairs: list[Pair]) -> None:
    evaluation = evaluate(make_model_cases(pairs, unchanged))
    densities = {image.name: image.density for image in evaluation.images}
    assert densities["heavy/1.png"] is RainDensity.HEAVY
    assert densities["light/1.png"] is RainDensity.LIGHT
    assert len({image.scene for image in evaluation.images}) == 3


def test_a_bad_pair_is_named_and_the_others_are_scored(pairs: list[Pair], root: Path) -> None:
    (root / "light" / "1.png").write_bytes(b"not an image")
    save(scene(2)[:30], root / "heavy" / "2.png")
    evaluation = evaluate(make_model_cases(pairs, unchanged), jobs=2)
    assert len(evaluation.images) == 4
    by_name = {failure.name: failure.message for failure in evaluation.failures}
    assert set(by_name) == {"light/1.png", "heavy/2.png"}
    assert str(root / "light" / "1.png") in by_name["light/1.png"]
    assert "48 x 30" in by_name["heavy/2.png"]


def test_a_derainer_that_changes_the_size_fails_by_the_name_of_the_image(pairs: list[Pair]) -> None:
    evaluation = evaluate(make_model_cases(pairs[:1], lambda rainy: rainy[:-1]))
    assert evaluation.failures[0].message.startswith(
        "heavy/0.png: the derained image has shape (39, 48, 3)",
    )


def test_an_image_smaller_than_the_window_fails_and_the_others_do_not(tmp_path: Path) -> None:
    pairs = []
    for name, side in (("small", 10), ("large", 11)):
        clean = save(scene(0)[:side, :side], tmp_path / "clean" / f"{name}.png")
        rainy = save(rain_on(scene(0), 20)[:side, :side], tmp_path / "rain" / f"{name}.png")
        pairs.append(Pair(f"{name}.png", name, rainy, clean))
    evaluation = evaluate(make_model_cases(pairs, unchanged))
    assert [image.name for image in evaluation.images] == ["large.png"]
    assert (
        "small.png: SSIM under restormer-y has a window of 11 x 11"
        in evaluation.failures[0].message
    )


def test_an_error_of_the_derainer_itself_is_not_hidden(pairs: list[Pair]) -> None:
    def broken(rainy: Floats) -> Floats:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        evaluate(make_model_cases(pairs, broken))


def test_an_unknown_protocol_is_refused_before_any_work(pairs: list[Pair]) -> None:
    def never(rainy: Floats) -> Floats:
        pytest.fail("work was done")

    with pytest.raises(CRDNetError, match="restormer-y"):
        evaluate(make_model_cases(pairs, never), ["psnr"])


def test_every_case_is_reported_done_in_the_thread_of_the_caller(
    pairs: list[Pair],
    root: Path,
) -> None:
    (root / "light" / "1.png").unlink()
    threads = []
    evaluate(
        make_model_cases(pairs, unchanged),
        jobs=2,
        on_done=lambda: threads.append(threading.current_thread()),
    )
    assert threads == [threading.current_thread()] * len(pairs)


def test_an_interruption_begins_no_more_images(pairs: list[Pair]) -> None:
    many = [replace(pairs[0], name=f"{number}.png") for number in range(50)]
    begun = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    def counted(rainy: Floats) -> Floats:
        begun.append(1)
        return rainy

    with pytest.raises(KeyboardInterrupt):
        evaluate(make_model_cases(many, counted), on_done=interrupt)
    assert len(begun) < 25


def test_scenes_are_those_that_the_images_show(pairs: list[Pair], root: Path) -> None:
    save(scene(1), root / "clean" / "one_more_time.png")
    save(rain_on(scene(1), 20), root / "light" / "one_more_time.png")
    again = Pair(
        "light/one_more_time.png",
        "clean/one_more_time",
        root / "light" / "one_more_time.png",
        root / "clean" / "one_more_time.png",
    )
    (root / "light" / "0.png").write_bytes(b"broken")
    cases = make_model_cases([*pairs, again], unchanged)
    evaluation = evaluate(cases)
    assert len({image.scene for image in evaluation.images}) == 4
    seen = assign_seen_scenes(evaluation, cases)
    assert len({image.scene for image in seen.images}) == 3
    assert [image.name for image in seen.images] == [image.name for image in evaluation.images]
    assert len(seen.failures) == 1
