"""Engines and sizes, measured in turn against what the machine can do.

Contract: every row (a size, a model, a device) is a process of its own, so that its memory and its first picture are
its own. Those of one size take turns with each other and, while the network runs alone, with matrix products and a
copy of memory: one run of one, one of the other. The first rounds are thrown away. The picture is drawn,
with rain at full size, so that the network runs at full size: smaller pictures of rain cost less.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from math import ceil, sqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from crdnet.bench.cost import Cost, cost_of
from crdnet.bench.limits import COPY, COPY_BYTES, PRODUCT_MACS, Limit, known_limits
from crdnet.bench.process import MEMORY, NETWORK, PICTURE, WorkerProcess
from crdnet.bench.timing import Timing, interleaved, machine
from crdnet.density import RainDensity
from crdnet.runtime import StoredModel
from crdnet.sizes import cut_reflected_window

WARM_UP_MEGAPIXELS = 3.0
"""Pictures before the clock runs: an engine may look into a size that comes again and again, and compile for it."""
MOST_WARM_UP_ROUNDS = 10
_BLAS_THREADS = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""What numpy's BLAS may read its number of threads from, before it is loaded."""
_DRAWN_SIDE = 512
"""Pixels; larger pictures are mirror images of it."""


class Subject(NamedTuple):
    """What is measured."""

    model: StoredModel
    device: str


@dataclass(frozen=True)
class Row:
    """What was measured of a model on a device at a size."""

    model: str
    device: str
    engine: str
    """With version and precision, such as "onnxruntime 1.31.1, float32"."""
    height: int
    width: int
    network: Timing
    """The network alone at full size, float32 in and out."""
    picture: Timing
    """A picture as users have it derained, uint8 in and out."""
    first_seconds: float
    """From the start of a process to its first picture."""
    peak_bytes: int | None
    """Most memory of a process that derains such pictures; None where the system does not tell."""
    cost: Cost

    @property
    def megapixels(self) -> float:
        """Of the picture."""
        return self.height * self.width / 1e6

    @property
    def precision(self) -> str:
        """In which the engine computes."""
        return self.engine.rpartition(", ")[2]

    @property
    def on_processor(self) -> bool:
        """Whether the limits, which are the processor's, are its limits too."""
        return self.device != "cuda"

    @property
    def macs_per_second(self) -> float:
        """Multiplications that the network does, padding and the margins of tiles not counted."""
        return self.cost.macs * self.megapixels * 1e9 / self.network.median

    @property
    def bytes_per_second(self) -> float:
        """What passes through memory if nothing of it stays in caches; see `Cost.samples`."""
        samples = self.cost.samples * self.megapixels * 1e9 / self.network.median
        return samples * (4 if self.precision == "float32" else 2)


@dataclass(frozen=True)
class Report:
    """Everything that was measured."""

    machine: dict[str, Any]
    threads: int
    rounds: int
    limits: dict[Limit, Timing]
    """How long a matrix product or a copy takes."""
    rows: list[Row]

    def limit(self, kind: str) -> tuple[float, str] | None:
        """Return a limit, in multiplications or bytes per second, and whose code reached it; None if not measured."""
        amount = COPY_BYTES if kind == COPY else PRODUCT_MACS
        reached = [
            (amount * 1e3 / timing.median, whose)
            for (what, whose), timing in self.limits.items()
            if what == kind
        ]
        return max(reached, default=None)

    def share_of_product(self, row: Row) -> float | None:
        """Return how near the network comes to the matrix product of its precision; None if that was not measured."""
        limit = self.limit(row.precision) if row.on_processor else None
        return None if limit is None else row.macs_per_second / limit[0]

    def share_of_copy(self, row: Row) -> float | None:
        """Return how near the network comes to a copy of memory; None if that was not measured."""
        limit = self.limit(COPY) if row.on_processor else None
        return None if limit is None else row.bytes_per_second / limit[0]


def warm_up_rounds(megapixels: float) -> int:
    """Return how many rounds of pictures of a size are not counted."""
    return min(MOST_WARM_UP_ROUNDS, ceil(WARM_UP_MEGAPIXELS / megapixels))


def steps_in(sizes: Sequence[float], subjects: int, rounds: int) -> int:
    """Return how often a measurement at sizes in megapixels calls its `on_step`, for a bar."""
    return sum(subjects + warm_up_rounds(size) + rounds + 1 + rounds for size in sizes)


def measure(
    subjects: Sequence[Subject],
    megapixels: Sequence[float],
    *,
    threads: int,
    rounds: int,
    on_step: Callable[[], object] = lambda: None,
) -> Report:
    """Measure models on devices at sizes.

    Args:
        subjects: Models and devices.
        megapixels: Sizes of the picture, 4 to 3.
        threads: Processors for each.
        rounds: How often each is timed at each size.
        on_step: Called `steps_in` times, as the work goes on.

    Raises:
        CRDNetError: A model or a device does not work.
    """
    place = machine()
    costs = {model: cost_of(model) for model in {subject.model for subject in subjects}}
    rows: list[Row] = []
    seconds: dict[Limit, list[float]] = {}
    for size in megapixels:
        of_size, of_limits = _measure_size(subjects, size, threads, rounds, on_step)
        rows += [
            Row(cost=costs[subject.model], **row)
            for subject, row in zip(subjects, of_size, strict=True)
        ]
        for limit, each in of_limits.items():
            seconds.setdefault(limit, []).extend(each)
    limits = {limit: Timing.of(each) for limit, each in seconds.items()}
    return Report(place, threads, rounds, limits, rows)


def sides_of(megapixels: float) -> tuple[int, int]:
    """Return the height and the width of a picture of this size, 4 to 3."""
    height = max(1, round(sqrt(megapixels * 1e6 * 3 / 4)))
    return height, max(1, round(megapixels * 1e6 / height))


def rainy_picture(height: int, width: int) -> npt.NDArray[np.uint8]:
    """Return a picture (h, w, 3) with medium rain such as networks know it at full size."""
    from crdnet.rain import make_rainy_pair  # noqa: PLC0415 - the start of workers, which import us, is timed

    rng = np.random.default_rng(0)
    blots = rng.integers(0, 256, (_DRAWN_SIDE // 8, _DRAWN_SIDE // 8, 3), dtype=np.uint8)
    scene = Image.fromarray(blots).resize((_DRAWN_SIDE, _DRAWN_SIDE), Image.Resampling.BICUBIC)
    drawn = make_rainy_pair(np.asarray(scene), RainDensity.MEDIUM, rng).rainy
    return cut_reflected_window(drawn, slice(0, height), slice(0, width))


def _measure_size(
    subjects: Sequence[Subject],
    megapixels: float,
    threads: int,
    rounds: int,
    on_step: Callable[[], object],
) -> tuple[list[dict[str, Any]], dict[Limit, list[float]]]:
    """Return what is measured of each subject at a size, as fields of `Row`, and seconds of the limits."""
    rainy = rainy_picture(*sides_of(megapixels))
    with TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "rainy.npy"
        np.save(path, rainy)
        workers = []
        for model, device in subjects:
            task = {
                "model": str(model.path),
                "device": device,
                "threads": threads,
                "picture": str(path),
            }
            workers.append(stack.enter_context(WorkerProcess(task)))
            on_step()
        calls: list[Callable[[], object]] = [partial(worker.ask, PICTURE) for worker in workers]
        pictures = interleaved(calls, rounds, warm_up_rounds(megapixels), on_step)
        peaks = [worker.ask(MEMORY) for worker in workers]
        limits = known_limits(
            in_bfloat16=any("bfloat16" in worker.said["engine"] for worker in workers)
        )
        bounds = stack.enter_context(
            WorkerProcess(
                {"limits": limits, "threads": threads}, dict.fromkeys(_BLAS_THREADS, str(threads))
            )
        )
        calls = [partial(worker.ask, NETWORK) for worker in workers]
        calls += [partial(bounds.ask, " ".join(limit)) for limit in limits]
        seconds = interleaved(calls, rounds, 1, on_step)  # the engines are warm
    networks, of_limits = seconds[: len(workers)], seconds[len(workers) :]
    rows = [
        {
            "model": subject.model.name,
            "device": worker.said["device"],
            "engine": worker.said["engine"],
            "height": rainy.shape[0],
            "width": rainy.shape[1],
            "network": Timing.of(network),
            "picture": Timing.of(picture),
            "first_seconds": worker.ready_seconds,
            "peak_bytes": peak,
        }
        for subject, worker, network, picture, peak in zip(
            subjects, workers, networks, pictures, peaks, strict=True
        )
    ]
    return rows, dict(zip(limits, of_limits, strict=True))
