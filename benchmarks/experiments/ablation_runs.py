"""Building, timing, training and scoring of the ablation; `ablation.py` states the contract."""

import json
import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import yaml
from torch import Tensor, nn

from crdnet import RainDensity
from crdnet.bench import Timing, time_in_turns
from crdnet.data import Pair, assign_scenes, find_pairs
from crdnet.density import compute_intensity
from crdnet.errors import DataError, TrainingError
from crdnet.files import write_whole
from crdnet.metrics import score
from crdnet.nn import (
    CRDNet,
    ResidualCRDNet,
    Sensing,
    build_crdnet,
    build_residual_crdnet,
    count_kilo_macs,
    load_weights,
    save_weights,
)
from crdnet.sizes import pad_to_multiple
from crdnet.training import BankSpec, MixedData, MixtureSpec
from crdnet.training.base import set_memory_format
from crdnet.training.residual import charbonnier
from crdnet.training.sensing import grade_density_map, map_intensity, sensing_loss

RECIPE = Path(__file__).resolve().parents[1] / "configs" / "default.yaml"
STEPS = 3000
SIDE, BATCH = 64, 16
LEARNING_RATE, WARMUP_STEPS, WEIGHT_DECAY, CLIP = 1e-3, 200, 1e-4, 1.0
EMA_DECAY = 0.995
SENSING_WEIGHT = 0.01
TIMES = "time.json"
AT_EQUAL_STEPS, AT_EQUAL_TIME = "equal steps", "equal time"

Network = CRDNet | ResidualCRDNet


@dataclass(frozen=True)
class Row:
    """Network of the comparison.

    Attributes:
        title: Name in the tables.
        build: Return the untrained network.
        against: Rows that it is compared with.
        sensing: Output of its density head, if it has one.
        seeds: One run each.
    """

    title: str
    build: Callable[[], Network]
    against: tuple[str, ...] = ()
    sensing: Sensing | None = None
    seeds: tuple[int, ...] = (0, 1, 2)


def build_published() -> CRDNet:
    """Return the published network, started as the identity like `default`."""
    network = build_crdnet()
    network.refinement.start_as_identity()
    return network


# A row without an idea spends its cost on the widths of the U, in multiples of 16.
BODY = partial(
    build_residual_crdnet, scale_widths=(48, 80, 160), dilations=[], second_pass=False, sensing=None
)
STREAKS = partial(build_residual_crdnet, scale_widths=(48, 64, 80), second_pass=False, sensing=None)

ROWS = {
    "published": Row("published network", build_published, seeds=(0,)),
    "body": Row("residual body", BODY, ("published",)),
    "streaks": Row("with streaks", STREAKS, ("body",)),
    "second-pass": Row(
        "with second pass", partial(build_residual_crdnet, sensing=None), ("streaks",)
    ),
    "code": Row(
        "with sensing, MSE code",
        partial(build_residual_crdnet, sensing="code"),
        ("second-pass",),
        "code",
    ),
    "classes": Row(
        "with sensing, cross-entropy",
        partial(build_residual_crdnet, sensing="classes"),
        ("second-pass",),
        "classes",
    ),
    "intensity": Row(
        "with sensing, ours", build_residual_crdnet, ("second-pass", "code", "classes"), "intensity"
    ),
}
OURS = "intensity"


def estimate(network: Network, rainy: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the derained images, and the output of the density head if there is one."""
    if isinstance(network, ResidualCRDNet):
        return network.sense(rainy)
    return network(rainy), None


class Run:
    """Network in training, and the average of its weights."""

    def __init__(self, row: Row, seed: int) -> None:
        torch.manual_seed(seed)
        self.row = row
        self.network = row.build()
        set_memory_format(self.network, torch.channels_last)
        self.average = deepcopy(self.network).requires_grad_(False).eval()
        kernels = [each for each in self.network.parameters() if each.ndim > 1]
        others = [each for each in self.network.parameters() if each.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": kernels, "weight_decay": WEIGHT_DECAY},
                {"params": others, "weight_decay": 0.0},
            ],
            fused=True,
        )
        self.steps = 0

    def step(self, pair: npt.NDArray[np.uint8]) -> float:
        """Learn from one batch, rainy and clean (2, b, h, w, 3), and return its loss.

        Raises:
            TrainingError: The loss is not a finite number.
        """
        rainy, clean = torch.from_numpy(pair).permute(0, 1, 4, 2, 3).float() / 255
        for group in self.optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (self.steps + 1) / WARMUP_STEPS)
        with torch.autocast("cpu", torch.bfloat16):
            derained, density = estimate(self.network, rainy)
        loss = charbonnier(derained.float(), clean)
        if density is not None and self.row.sensing is not None:
            truth = map_intensity(rainy, clean, self.network.size_multiple)
            loss = loss + SENSING_WEIGHT * sensing_loss(density, truth, self.row.sensing)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.optimizer.step()
        self.steps += 1
        self._follow()
        if not math.isfinite(loss.item()):
            raise TrainingError(
                f"the loss of {self.row.title} became {loss.item()} at step {self.steps}; "
                "lower LEARNING_RATE"
            )
        return loss.item()

    @torch.no_grad()
    def _follow(self) -> None:
        # A short memory at first, or the first weights would count for a thousand steps.
        decay = min(EMA_DECAY, self.steps / (self.steps + 9))
        now = self.network.state_dict()
        for name, mean in self.average.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(now[name], 1 - decay)
            else:  # the norms count their batches
                mean.copy_(now[name])


# Time


def time_steps(rounds: int) -> dict[str, Timing]:
    """Return the time of a step of each row, all rows in turn, on one thread."""
    torch.set_num_threads(1)
    shape = (2, BATCH, SIDE, SIDE, 3)
    pair = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    runs = [Run(row, seed=0) for row in ROWS.values()]
    seconds = time_in_turns([partial(run.step, pair) for run in runs], rounds, warm_up=3)
    return {name: Timing.from_seconds(each) for name, each in zip(ROWS, seconds, strict=True)}


def read_times(folder: Path) -> dict[str, Any]:
    """Return the measured times of the steps.

    Raises:
        DataError: Nothing was measured.
    """
    path = folder / TIMES
    if not path.is_file():
        raise DataError(
            f"{path} is not there; run first: "
            f"python -m benchmarks.experiments.ablation time -o {folder}"
        )
    times: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return times


def choose_scored_steps(name: str, steps: int, folder: Path) -> dict[str, int]:
    """Return the steps after which a row is scored."""
    times = read_times(folder)["milliseconds"]
    reached = round(steps / 2 * times[OURS]["median"] / times[name]["median"])
    return {AT_EQUAL_STEPS: steps, AT_EQUAL_TIME: min(steps, max(1, reached))}


# Training


def locate_batches(folder: Path, seed: int, steps: int) -> Path:
    """Return the file of the batches of a seed."""
    return folder / f"batches-{seed}-{steps}.npy"


def make_batches(data: Path, folder: Path, seed: int, steps: int) -> str:
    """Write all batches of a seed as one array (steps, 2, b, h, w, 3): rainy and clean, 8 bits."""
    path = locate_batches(folder, seed, steps)
    if path.exists():
        return f"{path.name}: was there"
    torch.set_num_threads(1)
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["data"]
    mixed = MixedData(
        data / "clean",
        pairs=data / "rain800" / "train",
        streaks=data / "streaks" / "train",
        layout="clean-rainy",
        mixture=MixtureSpec(**_with_tuples(recipe["mixture"])),
        bank=BankSpec(**_with_tuples(recipe["bank"])),
        sides=((0, SIDE),),
        epoch_length=steps * BATCH,
        batch_size=BATCH,
        in_memory=True,
        seed=seed,
    )
    mixed.setup("fit")
    part = path.with_suffix(".part")
    shape = (steps, 2, BATCH, SIDE, SIDE, 3)
    kept = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
    for step, batch in enumerate(mixed.train_dataloader()):
        pair = torch.stack([batch.rainy, batch.clean]).permute(0, 1, 3, 4, 2)
        kept[step] = (255 * pair).round().byte().numpy()
    kept.flush()
    part.replace(path)
    return f"{path.name}: made"


def _with_tuples(keywords: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in keywords.items()
    }


def locate_result(folder: Path, name: str, seed: int, steps: int) -> Path:
    """Return the file of the scores of a finished run."""
    return folder / f"{name}-{seed}-{steps}.json"


def run_one(data: Path, folder: Path, name: str, seed: int, steps: int) -> str:
    """Train a row with a seed, score it, write the result; finished parts are kept."""
    result = locate_result(folder, name, seed, steps)
    if result.exists():
        return f"{result.name}: was there"
    torch.set_num_threads(1)
    when = choose_scored_steps(name, steps, folder)
    weights = {
        label: result.with_name(f"{name}-{seed}-{steps}-at-{at}.safetensors")
        for label, at in when.items()
    }
    if not all(path.exists() for path in weights.values()):
        batches = np.load(locate_batches(folder, seed, steps), mmap_mode="r")
        run = Run(ROWS[name], seed)
        for pair in batches:
            run.step(np.array(pair))
            for label, at in when.items():
                if run.steps == at:
                    save_weights(run.average, weights[label])
    network = ROWS[name].build().eval()
    set_memory_format(network, torch.channels_last)
    pairs, scored = find_held_out(data), {}
    for label, at in when.items():
        load_weights(network, weights[label])
        scored[label] = {"step": at, "images": [asdict(judge(network, pair)) for pair in pairs]}
    document = {
        "row": name,
        "seed": seed,
        "kilo_macs_per_pixel": sum(count_kilo_macs(network, SIDE).values()),
        "parameters": sum(each.numel() for each in network.parameters()),
        "scored": scored,
    }
    write_whole(result, (json.dumps(document) + "\n").encode())
    return f"{result.name}: done"


# Scoring


@dataclass(frozen=True)
class Judged:
    """Scores of one held-out image."""

    name: str
    group: str
    scene: str
    psnr: float | None
    """`restormer-y`, in dB; None of a dry image."""
    grade: str | None
    """The sensed density; None of a network without a density head."""
    truth: str


def find_held_out(data: Path) -> list[Pair]:
    """Return the pairs that are scored; a dry image is a pair with itself."""
    real = assign_scenes(find_pairs(data / "rain800" / "val", "clean-rainy"))
    synthetic = find_pairs(data / "val_synth", "density-folders")
    dry = {
        pair.clean_path: Pair(
            f"clean/{pair.clean_path.name}", pair.scene, pair.clean_path, pair.clean_path
        )
        for pair in synthetic
    }
    return [*real, *synthetic, *dry.values()]


def judge(network: Network, pair: Pair) -> Judged:
    """Score a network on one pair."""
    loaded = pair.load()
    height, width = loaded.rainy.shape[:2]
    padded = pad_to_multiple(loaded.rainy, network.size_multiple)
    with torch.inference_mode():
        rainy = torch.from_numpy(np.ascontiguousarray(padded)).permute(2, 0, 1)[None].float() / 255
        derained, density = estimate(network, rainy)
    grade = None
    if isinstance(network, ResidualCRDNet) and network.sensing is not None and density is not None:
        cell = network.size_multiple
        grade = grade_density_map(density[0], network.sensing.says, height, width, cell).name
    truth = RainDensity.from_intensity(compute_intensity(loaded.rainy, loaded.clean))
    dry = pair.rainy_path == pair.clean_path and pair.halves is None
    ours = derained[0, :, :height, :width].permute(1, 2, 0).numpy()
    psnr = None if dry else score(ours, loaded.clean, "restormer-y").psnr
    group = "rain800/val" if pair.halves is not None else f"val_synth/{pair.name.partition('/')[0]}"
    return Judged(pair.name, group, pair.scene, psnr, grade, truth.name)
