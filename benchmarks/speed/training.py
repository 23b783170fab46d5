"""Measure whether training waits for its data, and the speed of drawing rain.

    python -m benchmarks.speed.training loading PHOTOGRAPHS [--pairs FOLDER] [--streaks FOLDER]
    python -m benchmarks.speed.training rain [--streaks FOLDER]

Contract. `loading`: crops per second of the mixture and bank of the recipe, and of training steps
of its network with loss, gradients and AdamW, each alone on one thread. The loader in the training
process, the loader in a separate process, and the step take turns, because other programs disturb
wall-clock times; printed are medians of the rounds. The ratio is the speed of the loader in a
separate process divided by that of the step: above 1, no step waits. `rain`: CPU time on one
thread, which other programs hardly lengthen; the median of five rounds after one of warm-up. Images
are drawn by code. Reading and writing of files is not included, JPEG only where named.
"""

import statistics
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import click
import numpy as np
import torch
import yaml
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.helpers import Rgb, path_type, report_errors
from crdnet.density import RainDensity
from crdnet.rain import (
    LayerBank,
    RainSpec,
    StreakLibrary,
    choose_rain_scale,
    compose,
    make_rainy_pair,
)
from crdnet.training import BankSpec, Batch, MixedData, MixtureSpec, ResidualSpec, ResidualTraining
from crdnet.training.mixture import Mixture

DENSITIES = tuple(RainDensity)
RAIN_ROUNDS = 5


SIDES = (64, 96, 128, 160)
# Layers of a bank for each density: fewer than in the recipe, since their number changes no time.
LAYERS = 8


def convert_lists(values: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe's values with tuples for lists, as its classes take them."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }


def build_data(
    recipe: dict[str, Any], photographs: Path, pairs: Path | None, streaks: Path | None
) -> MixedData:
    options = convert_lists(recipe["data"]) | {
        "mixture": MixtureSpec(**convert_lists(recipe["data"]["mixture"])),
        "bank": BankSpec(**convert_lists(recipe["data"]["bank"]) | {"per_density": LAYERS}),
    }
    data = MixedData(photographs, pairs, streaks=streaks, **options)
    data.setup("fit")
    return data


def build_loader(data: MixedData, side: int, workers: int) -> "DataLoader[Batch]":
    """Return a training loader with crops of one size."""
    data.workers = workers
    loader = data.train_dataloader()
    assert isinstance(loader.dataset, Mixture)
    loader.dataset.sides = ((0, side),)
    return loader


def measure_rate(work: Callable[[], int], batches: int) -> float:
    """Return crops per second of a call that returns how many crops it processed."""
    began = perf_counter()
    done = sum(work() for _ in range(batches))
    return done / (perf_counter() - began)


def measure_loading(loader: "DataLoader[Batch]", batches: int) -> float:
    """Return crops per second of a loader that is already running."""
    running: Iterator[Batch] = iter(loader)
    # Crops that a worker prepared before the clock started do not count.
    for _ in islice(running, 3):
        pass
    return measure_rate(lambda: len(next(running).names), batches)


def build_step(recipe: dict[str, Any], batch: Batch) -> Callable[[], int]:
    """Return a training step on one batch; it returns the number of crops."""
    training = ResidualTraining(
        ResidualSpec(**convert_lists(recipe["model"]["network"])), channels_last=True
    )
    optimizer = torch.optim.AdamW(training.parameters())

    def step() -> int:
        total: Tensor = training.compute_losses(batch)[1]
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        optimizer.step()
        return len(batch.names)

    step()
    return step


def draw_scene(height: int, width: int) -> Rgb:
    coarse = np.random.default_rng(1).integers(20, 180, (8, 8, 3), dtype=np.uint8)
    return np.ascontiguousarray(
        np.kron(coarse, np.ones((-(-height // 8), -(-width // 8), 1), np.uint8))[:height, :width]
    )


def measure_process_time(work: Callable[[int], object], times: int) -> float:
    """Return the median process time of one call, in seconds."""
    rounds = []
    for turn in range(RAIN_ROUNDS + 1):
        began = process_time()
        for number in range(times):
            work(turn * times + number)
        rounds.append((process_time() - began) / times)
    return statistics.median(rounds[1:])


@click.group(help=__doc__.splitlines()[0])
def main() -> None: ...


streaks_option = click.option("--streaks", type=path_type, help="Folder of streak images.")


@main.command("loading")
@click.argument("photographs", type=path_type)
@click.option("--pairs", type=path_type, help="Folder of real pairs.")
@streaks_option
@click.option("--config", type=path_type, default=Path("configs/default.yaml"), show_default=True)
@click.option(
    "--batches", type=click.IntRange(1), default=3, show_default=True, help="Batches per round."
)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@report_errors()
def loading_command(
    photographs: Path,
    pairs: Path | None,
    streaks: Path | None,
    config: Path,
    batches: int,
    rounds: int,
) -> None:
    """Compare the speed of loading with that of training, for every side of the crops."""
    torch.set_num_threads(1)
    recipe = yaml.safe_load(config.read_text(encoding="utf-8"))
    data = build_data(recipe, photographs, pairs, streaks)
    print("| side | loader in the training process | loader of its own | training step | ratio |")
    print("|---|---|---|---|---|")
    for side in SIDES:
        inside, beside = (build_loader(data, side, workers) for workers in (0, 1))
        step = build_step(recipe, next(iter(inside)))
        turns = [
            (
                measure_loading(inside, batches),
                measure_loading(beside, batches),
                measure_rate(step, batches),
            )
            for _ in range(rounds)
        ]
        alone, own, trained = (statistics.median(each) for each in zip(*turns, strict=True))
        cells = f"{alone:.3g} | {own:.3g} | {trained:.3g} | {own / trained:.1f}"
        print(f"| {side} | {cells} |", flush=True)


@main.command("rain")
@streaks_option
@report_errors()
def rain_command(streaks: Path | None) -> None:
    """Measure the speed of drawing and composing rain."""
    library = None if streaks is None else StreakLibrary.read(streaks)
    began = process_time()
    bank = LayerBank.draw(np.random.default_rng(0), per_density=16, library=library)
    print(f"layer of {bank.side} x {bank.side}: {(process_time() - began) / 48 * 1e3:.0f} ms")

    crop = draw_scene(128, 128)
    rng = np.random.default_rng(0)
    pair = bank.make_pair(crop, RainDensity.MEDIUM, rng)
    spec = pair.spec
    assert isinstance(spec, RainSpec)
    each = measure_process_time(lambda _: compose(crop, pair.streaks, spec), 300)
    print(f"crops of 128 x 128, composition alone: {1 / each:.0f} per second")
    each = measure_process_time(
        lambda number: bank.make_pair(crop, DENSITIES[number % 4], rng), 300
    )
    print(f"crops of 128 x 128, intensity searched and measured: {1 / each:.0f} per second")
    each = measure_process_time(
        lambda number: bank.make_pair(crop, DENSITIES[number % 4], rng, jpeg_quality=85), 100
    )
    print(f"the same, both images through JPEG: {1 / each:.0f} per second")
    for height, width, times in ((333, 500, 8), (3000, 4000, 2)):
        clean = draw_scene(height, width)
        scale = choose_rain_scale(height, width)

        def make(number: int, clean: Rgb = clean, scale: float = scale) -> object:
            return make_rainy_pair(
                clean, DENSITIES[1 + number % 3], rng, scale=scale, library=library
            )

        each = measure_process_time(make, times)
        print(f"image of {width} x {height}, new rain (scale {scale:g}): {each:.2f} s")


if __name__ == "__main__":
    main()
