"""Fine-tuning and own networks: runs of `kind: pairs`."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from crdnet import Derainer
from crdnet.data import LoadedPair, find_pairs
from crdnet.density import RainDensity
from crdnet.errors import DataError, RecipeError
from crdnet.export import describe_model, export_network, load_network
from crdnet.nn import OwnNetwork, build_crdnet, build_residual_crdnet, measure_margin, save_weights
from crdnet.training import (
    NAMED_LOSSES,
    AugmentSpec,
    NetworkTraining,
    PairSetsData,
    ScheduleSpec,
    train,
)
from crdnet.training.batches import make_batch
from crdnet.training.pair_sets import EpochBatches, SampledPairs
from tests.training.tiny import REPOSITORY, TinyRun

RECIPE: dict[str, Any] = {
    "kind": "pairs",
    "seed_everything": 0,
    "ema_decay": 0.5,
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "log_every_n_steps": 1},
    "model": {"schedule": {"warmup_steps": 2}},
    "data": {"sides": [[0, 16], [1, 32]], "batch_sizes": [[0, 4], [1, 2]], "steps_per_epoch": 3},
}
OWN = "--model.network.class_path=tests.nn.test_pretrained.Blur"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = build_residual_crdnet(width=4, scale_widths=[4, 5, 6], streak_width=2)
    torch.nn.init.normal_(network.head[-1].weight, std=0.05)  # type: ignore[arg-type]
    save_weights(network, tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = build_crdnet([2, 3], [1, 2], [2, 3], 3, 4)
    network.train()(
        torch.rand(2, 3, 16, 16)
    )  # statistics of the norms that are not the initial ones
    save_weights(network, tmp_path / "published.safetensors")
    return tmp_path / "published.safetensors"


@pytest.mark.parametrize("kind", ["weights", "published"])
def test_fine_tuning_begins_at_the_function_of_the_weights(
    kind: str, request: pytest.FixtureRequest
) -> None:
    file = request.getfixturevalue(kind)
    training = NetworkTraining(start_from=str(file)).train()
    rainy = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(training(rainy).derained, load_network(file)(rainy))


@pytest.mark.parametrize("kind", ["weights", "published"])
def test_a_fine_tuned_network_is_exported_and_resumed(
    tiny: TinyRun, kind: str, request: pytest.FixtureRequest
) -> None:
    file = request.getfixturevalue(kind)
    run = train(tiny.arguments("a", f"--model.start_from={file}", recipe=RECIPE))
    train(
        tiny.arguments(
            "a", f"--model.start_from={file}", "--resume", "--trainer.max_epochs=3", recipe=RECIPE
        )
    )
    assert tiny.checkpoint("a")["global_step"] == 9
    before, after = load_network(file), load_network(run / "last.ckpt")
    assert before.describe() == after.describe()
    rainy = torch.rand(1, 3, 16, 16)
    assert not torch.equal(before(rainy), after(rainy))
    export_network(after, tiny.folder / "a.onnx", describe_model(after, "a"))


def test_a_run_on_an_own_class_trains_and_is_loaded_again(tiny: TinyRun) -> None:
    run = train(
        tiny.arguments("own", OWN, "--model.network.init_args={channels: 2}", recipe=RECIPE)
    )
    network = load_network(run / "last.ckpt")
    assert network.describe()["init_args"] == {"channels": 2}
    assert (network.size_multiple, network.tile_margin) == (2, 4)


def test_nothing_to_train_is_one_line(tiny: TinyRun) -> None:
    with pytest.raises(RecipeError, match=r"nothing to train: give --model\.start_from"):
        train(tiny.arguments("a", recipe=RECIPE))


def test_dry_samples_are_clean_images_on_both_sides(pairs: Path) -> None:
    data = PairSetsData(str(pairs), dry_share=0.5, sides=((0, 16),))
    data.setup("fit")
    assert data._samples is not None
    samples = [data._samples[0, index] for index in range(60)]
    dry = [torch.equal(each.rainy, each.clean) for each in samples]
    assert 15 < sum(dry) < 45


def test_sets_are_drawn_by_their_weights(pairs: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for folder in ("input", "target"):
        (other / folder).mkdir(parents=True)
        Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(other / folder / "black.png")
    data = PairSetsData({str(pairs): 3.0, str(other): 1.0}, sides=((0, 16),))
    data.setup("fit")
    assert data._samples is not None
    names = [data._samples[0, index].names[0] for index in range(200)]
    assert 25 < names.count("input/black.png") < 75


def test_patterns_replace_the_root(pairs: Path) -> None:
    data = PairSetsData(rainy=f"{pairs}/input/*.png", clean=f"{pairs}/target/{{name}}")
    data.setup("fit")
    assert len(data.training_pairs) == 9
    with pytest.raises(RecipeError, match=r"--data\.rainy together with --data\.clean"):
        PairSetsData(str(pairs), rainy="in/*.png")


def test_crops_and_batches_change_at_their_epochs() -> None:
    batches = EpochBatches(3, [(0, 4), (2, 2)], seed=0)
    for epoch, size in ((0, 4), (1, 4), (2, 2), (5, 2)):
        batches.sampler.set_epoch(epoch)
        listed = list(batches)
        assert [len(batch) for batch in listed] == [size] * 3 == [size] * len(batches)
        assert sorted(index for batch in listed for _, index in batch) == list(range(3 * size))


def test_augmentation_of_both_images_is_the_same(pairs: Path) -> None:
    found = find_pairs(pairs)
    spec = AugmentSpec(zoom=(0.5, 2.0), rotation=20.0, exposure=0.5)
    samples = SampledPairs([(found, 1.0)], [], 0.0, spec, [(0, 24)], seed=0)
    for index in range(20):
        batch = samples[0, index]
        assert batch.rainy.shape == batch.clean.shape == (3, 24, 24)
        # The rain of the fixture is a uniform tint, so it stays without detail.
        assert (batch.rainy - batch.clean).std() < 0.06


def test_several_validation_sets_are_reported_apart(tiny: TinyRun, weights: Path) -> None:
    second = tiny.folder / "second"
    for folder in ("input", "target"):
        (second / folder).mkdir(parents=True)
        (second / folder / "0.png").write_bytes((tiny.pairs / folder / "0.png").read_bytes())
    recipe = RECIPE | {"curves": "csv", "trainer": {"max_epochs": 1, "accelerator": "cpu"}}
    recipe["data"] = RECIPE["data"] | {"validation": [str(tiny.pairs), str(second)]}
    arguments = tiny.arguments("a", f"--model.start_from={weights}", recipe=recipe)
    run = train([each for each in arguments if not each.startswith("--data.validation")])
    columns = (run / "curves" / "metrics.csv").read_text().splitlines()[0].split(",")
    names = ("validation/psnr_y", "validation/pairs/psnr_y", "validation/second/psnr_y")
    assert set(names) <= set(columns)
    assert (run / "best.ckpt").exists()


def test_the_name_of_a_loss_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RecipeError, match="of charbonnier, fft, l1, mse, psnr, ssim; got"):
        NetworkTraining(start_from="default", losses={"l3": 1.0})


@pytest.mark.parametrize("name", NAMED_LOSSES)
def test_losses_are_least_for_equal_images_and_have_gradients(name: str) -> None:
    clean = torch.rand(2, 3, 16, 16)
    derained = (clean + 0.1 * torch.rand(2, 3, 16, 16)).requires_grad_()
    loss = NAMED_LOSSES[name](derained, clean)
    loss.backward()
    assert NAMED_LOSSES[name](clean, clean) < loss
    assert derained.grad is not None
    assert derained.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("spec", "factors"),
    [
        (ScheduleSpec("constant", 0), [1, 1, 1]),
        (ScheduleSpec("linear", 0, final=0.2), [1, 0.6, 0.2]),
        (ScheduleSpec("cosine", 0, final=0.2), [1, 0.6, 0.2]),
        (ScheduleSpec("steps", 0, milestones=(0.5, 0.8), factor=0.1), [1, 0.1, 0.01]),
    ],
)
def test_schedules_go_from_one_to_their_end(spec: ScheduleSpec, factors: list[float]) -> None:
    assert [spec.compute_factor(step, 100) for step in (0, 50, 100)] == pytest.approx(factors)


def test_every_schedule_warms_up() -> None:
    warm = ScheduleSpec("constant", 4)
    assert [warm.compute_factor(step, 100) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]


def cut_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def cut_rows(path: Path) -> None:
    with Image.open(path) as image:
        part = image.crop((0, 0, image.width, image.height - 3))
    part.save(path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut_file, r"input/\d\.png: cannot be read: "),
        (cut_rows, r"input/\d\.png: is \d+ x \d+ but its clean image .* must have one size"),
    ],
)
def test_a_wrong_pair_in_the_middle_of_an_epoch_is_one_line(
    damage: Callable[[Path], None], words: str, tiny: TinyRun, weights: Path
) -> None:
    for path in (tiny.pairs / "input").iterdir():
        damage(path)
    arguments = tiny.arguments(
        "a", f"--model.start_from={weights}", "--data.workers=1", recipe=RECIPE
    )
    with pytest.raises(DataError, match=words) as caught:
        train(arguments)
    assert "\n" not in str(caught.value)
    assert "--resume" in str(caught.value)


def test_a_pair_of_a_batch_is_stacked() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    batch = make_batch(LoadedPair(image, image, RainDensity.NONE), "a")
    assert batch.rainy.shape == (3, 8, 8)


def test_the_network_of_the_documentation_trains_and_derains(
    tiny: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"```python own-network\n(.*?)```", text, re.DOTALL)
    (tiny.folder / "documented_net.py").write_text(source)
    monkeypatch.chdir(tiny.folder)
    monkeypatch.syspath_prepend(tiny.folder)
    run = train(
        tiny.arguments("own", "--model.network.class_path=documented_net.Net", recipe=RECIPE)
    )
    network = load_network(run / "last.ckpt")
    assert isinstance(network, OwnNetwork)
    # What the class states is what is measured.
    assert network.tile_margin == measure_margin(network.body, 2)
    export_network(network, tiny.folder / "own.onnx", describe_model(network, "own"))
    image = np.random.default_rng(0).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    derained = Derainer(str(tiny.folder / "own.onnx"), "cpu")(image)
    assert derained.shape == image.shape


def test_an_option_of_another_kind_is_not_taken_as_an_abbreviation(
    tiny: TinyRun, weights: Path
) -> None:
    arguments = tiny.arguments("a", f"--model.start_from={weights}", recipe=RECIPE)
    with pytest.raises(
        RecipeError, match=r"no option --data\.batch_size; did you mean data\.batch_sizes\?"
    ):
        train([*arguments, "--data.batch_size=4"])
