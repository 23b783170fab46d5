"""Whether training waits for its data: `python benchmarks/loading.py PHOTOGRAPHS [--pairs FOLDER] [--streaks FOLDER]`.

Contract: patches per second, of the recipe's own mixture and bank and of its network with loss, gradients and AdamW,
each alone and each on one thread. Loader in the training process, loader in a process of its own, and the step
take turns, since other programs disturb the clock; medians of the rounds. The ratio is the loader's speed in a process
of its own over the step's: above 1, the step never waits for it.
"""

import statistics
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import torch
import yaml
from torch import Tensor
from torch.utils.data import DataLoader

from crdnet.errors import CRDNetError
from crdnet.training import BankSpec, Batch, MixedData, MixtureSpec, ResidualSpec, ResidualTraining
from crdnet.training.mixture import Mixture

SIDES = (64, 96, 128, 160)
LAYERS = 8
"""Of a bank for each density: fewer than in the recipe, since drawing them takes longer than all that is timed here,
and how many there are to choose from does not matter to the clock."""


def specified(values: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe's values with tuples for lists, as its classes take them."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }


def data_of(
    recipe: dict[str, Any], photographs: Path, pairs: Path | None, streaks: Path | None
) -> MixedData:
    options = specified(recipe["data"]) | {
        "mixture": MixtureSpec(**specified(recipe["data"]["mixture"])),
        "bank": BankSpec(**specified(recipe["data"]["bank"]) | {"per_density": LAYERS}),
    }
    data = MixedData(photographs, pairs, streaks=streaks, **options)
    data.setup("fit")
    return data


def loader_of(data: MixedData, side: int, workers: int) -> "DataLoader[Batch]":
    """Return the loader of a training with crops of one size."""
    data.workers = workers
    loader = data.train_dataloader()
    assert isinstance(loader.dataset, Mixture)
    loader.dataset.sides = ((0, side),)
    return loader


def patches_per_second(work: Callable[[], int], batches: int) -> float:
    """Return the speed of work that tells how many patches it did."""
    began = perf_counter()
    done = sum(work() for _ in range(batches))
    return done / (perf_counter() - began)


def loading(loader: "DataLoader[Batch]", batches: int) -> float:
    """Return how many patches a loader gives a second, once it runs."""
    running: Iterator[Batch] = iter(loader)
    # What a loader in its own process has ready before the clock starts is taken out first.
    for _ in islice(running, 3):
        pass
    return patches_per_second(lambda: len(next(running).names), batches)


def stepping(recipe: dict[str, Any], batch: Batch) -> Callable[[], int]:
    """Return a training step on a batch."""
    training = ResidualTraining(
        ResidualSpec(**specified(recipe["model"]["network"])), channels_last=True
    )
    optimizer = torch.optim.AdamW(training.parameters())

    def step() -> int:
        total: Tensor = training.compute_losses(batch)[1]
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return len(batch.names)

    step()
    return step


@click.command()
@click.argument("photographs", type=click.Path(path_type=Path))
@click.option("--pairs", type=click.Path(path_type=Path), help="Folder of real pairs.")
@click.option("--streaks", type=click.Path(path_type=Path), help="Folder of streak pictures.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("configs/default.yaml"),
    show_default=True,
)
@click.option(
    "--batches", type=click.IntRange(1), default=3, show_default=True, help="Timed in a round."
)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
def main(
    photographs: Path,
    pairs: Path | None,
    streaks: Path | None,
    config: Path,
    batches: int,
    rounds: int,
) -> None:
    """Compare the speed of loading with that of training, for every side of the crops."""
    torch.set_num_threads(1)
    try:
        recipe = yaml.safe_load(config.read_text(encoding="utf-8"))
        data = data_of(recipe, photographs, pairs, streaks)
    except CRDNetError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    print(
        "| side | loader in the training process | loader of its own (1 worker) | training step | ratio |"
    )
    print("|---|---|---|---|---|")
    for side in SIDES:
        inside, beside = (loader_of(data, side, workers) for workers in (0, 1))
        step = stepping(recipe, next(iter(inside)))
        turns = [
            (loading(inside, batches), loading(beside, batches), patches_per_second(step, batches))
            for _ in range(rounds)
        ]
        alone, own, trained = (statistics.median(each) for each in zip(*turns, strict=True))
        print(
            f"| {side} | {alone:.3g} | {own:.3g} | {trained:.3g} | {own / trained:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
