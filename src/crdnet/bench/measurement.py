"""Measurement of engines at several sizes, with the limits of the machine in the same turns.

Contract: every row (a size, a model, a device) runs in a separate process, so that its memory and
the time to its first image can be measured. In each round, the rows of one size run once each; when
the network is timed alone, matrix products and a copy of memory run in the same rounds. The first
rounds are discarded. The image is drawn with rain at full size, because an image whose rain is
sensed at a smaller scale costs less.
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

from crdnet.bench.cost import Cost, count_cost
from crdnet.bench.limits import COPY, COPY_BYTES, PRODUCT_MACS, Limit, list_limits
from crdnet.bench.process import IMAGE, MEMORY, NETWORK, WorkerProcess
from crdnet.bench.timing import Timing, inspect_machine, time_in_turns
from crdnet.density import RainDensity
from crdnet.runtime import StoredModel
from crdnet.sizes import cut_reflected_window

WARM_UP_MEGAPIXELS = 3.0
"""Pixels before the first timed round: an engine may compile for a size that comes repeatedly."""
MOST_WARM_UP_ROUNDS = 10
# Environment variables for the number of threads of numpy's BLAS, which reads them when loaded.
_BLAS_THREADS = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# Side of the drawn image in pixels; larger images are reflections of it.
_DRAWN_SIDE = 512


class Subject(NamedTuple):
    """Model and device to measure."""

    model: StoredModel
    device: str


@dataclass(frozen=True)
class Row:
    """Measurement of a model on a device at a size."""

    model: str
    device: str
    engine: str
    """Library, version and precision, such as "onnxruntime 1.31.1, float32"."""
    height: int
    width: int
    network: Timing
    """Network alone at full size, float32 in and out."""
    image: Timing
    """Whole image as users derain it, uint8 in and out."""
    first_seconds: float
    """Time from the start of a process to its first image."""
    peak_bytes: int | None
    """Peak memory of a process that derains such images; None if the system does not report it."""
    cost: Cost

    @property
    def megapixels(self) -> float:
        """Size of the image in megapixels."""
        return self.height * self.width / 1e6

    @property
    def precision(self) -> str:
        """Precision in which the engine computes."""
        return self.engine.rpartition(", ")[2]

    @property
    def is_on_processor(self) -> bool:
        """True if the row ran on the CPU, to which the measured limits apply."""
        return self.device != "cuda"

    @property
    def macs_per_second(self) -> float:
        """Multiplications per second, without those for padding and for the margins of tiles."""
        # 1e6 pixels in a megapixel times 1e3 milliseconds in a second.
        return self.cost.macs * self.megapixels * 1e9 / self.network.median

    @property
    def bytes_per_second(self) -> float:
        """Bytes per second through memory if nothing stays in caches; see `Cost.samples`."""
        samples = self.cost.samples * self.megapixels * 1e9 / self.network.median
        # Samples of bfloat16 and float16 take half the bytes.
        return samples * (4 if self.precision == "float32" else 2)


@dataclass(frozen=True)
class Report:
    """All measurements of one machine."""

    machine: dict[str, Any]
    threads: int
    rounds: int
    limits: dict[Limit, Timing]
    """Time of one matrix product or one copy."""
    rows: list[Row]

    def find_limit(self, kind: str) -> tuple[float, str] | None:
        """Return the highest rate of a kind and the library that reached it.

        Returns:
            Multiplications or bytes per second; None if the limit was not measured.
        """
        amount = COPY_BYTES if kind == COPY else PRODUCT_MACS
        reached = [
            (amount * 1e3 / timing.median, library)
            for (each, library), timing in self.limits.items()
            if each == kind
        ]
        return max(reached, default=None)

    def compute_product_share(self, row: Row) -> float | None:
        """Return the network's rate as a share of the matrix product of its precision, or None."""
        limit = self.find_limit(row.precision) if row.is_on_processor else None
        return None if limit is None else row.macs_per_second / limit[0]

    def compute_copy_share(self, row: Row) -> float | None:
        """Return the network's rate as a share of a copy of memory; None if not measured."""
        limit = self.find_limit(COPY) if row.is_on_processor else None
        return None if limit is None else row.bytes_per_second / limit[0]


def count_warm_up_rounds(megapixels: float) -> int:
    """Return the number of untimed rounds at a size."""
    # Tiny images would need thousands of rounds to fill the warm-up.
    return min(MOST_WARM_UP_ROUNDS, ceil(WARM_UP_MEGAPIXELS / megapixels))


def count_steps(sizes: Sequence[float], subjects: int, rounds: int) -> int:
    """Return the number of calls of `on_step` in `measure`, for a progress bar.

    Args:
        sizes: Sizes in megapixels.
        subjects: Number of models and devices.
        rounds: Number of timed rounds.
    """
    # Starts of workers, rounds of whole images, then one warm-up and the rounds of the network.
    return sum(subjects + count_warm_up_rounds(size) + rounds + 1 + rounds for size in sizes)


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
        megapixels: Sizes of the image, whose sides are 4 to 3.
        threads: Number of threads for each subject.
        rounds: Number of timed runs of each subject at each size.
        on_step: Called after each step, `count_steps` times in total.

    Raises:
        CRDNetError: A model or a device does not work.
    """
    # Before any work, which would count as load of the machine.
    machine = inspect_machine()
    costs = {model: count_cost(model) for model in {subject.model for subject in subjects}}
    rows: list[Row] = []
    seconds: dict[Limit, list[float]] = {}
    for size in megapixels:
        measured, limit_seconds = _measure_size(subjects, size, threads, rounds, on_step)
        rows += [
            Row(cost=costs[subject.model], **row)
            for subject, row in zip(subjects, measured, strict=True)
        ]
        # Limits do not depend on the size of the image, so the times of all sizes are pooled.
        for limit, each in limit_seconds.items():
            seconds.setdefault(limit, []).extend(each)
    limits = {limit: Timing.from_seconds(each) for limit, each in seconds.items()}
    return Report(machine, threads, rounds, limits, rows)


def compute_sides(megapixels: float) -> tuple[int, int]:
    """Return the height and width of an image of this size, 4 wide to 3 high."""
    height = max(1, round(sqrt(megapixels * 1e6 * 3 / 4)))
    return height, max(1, round(megapixels * 1e6 / height))


def draw_rainy_image(height: int, width: int) -> npt.NDArray[np.uint8]:
    """Draw an image (h, w, 3) with medium rain that networks sense at full size."""
    # Imported here, since the start of workers, which import this package, is timed.
    from crdnet.rain import make_rainy_pair  # noqa: PLC0415

    rng = np.random.default_rng(0)
    # Smooth blots need no file, and no line in them could be sensed as rain.
    blots = rng.integers(0, 256, (_DRAWN_SIDE // 8, _DRAWN_SIDE // 8, 3), dtype=np.uint8)
    scene = Image.fromarray(blots).resize((_DRAWN_SIDE, _DRAWN_SIDE), Image.Resampling.BICUBIC)
    drawn = make_rainy_pair(np.asarray(scene), RainDensity.MEDIUM, rng).rainy
    # Reflection keeps the size of the streaks, on which the scale depends.
    return cut_reflected_window(drawn, slice(0, height), slice(0, width))


def _measure_size(
    subjects: Sequence[Subject],
    megapixels: float,
    threads: int,
    rounds: int,
    on_step: Callable[[], object],
) -> tuple[list[dict[str, Any]], dict[Limit, list[float]]]:
    """Measure all subjects at a size.

    Returns:
        Fields of `Row` of each subject, and seconds of each limit.
    """
    rainy = draw_rainy_image(*compute_sides(megapixels))
    with TemporaryDirectory() as folder, ExitStack() as stack:
        # Through a file: the image is too large for an argument.
        path = Path(folder) / "rainy.npy"
        np.save(path, rainy)
        workers = []
        for model, device in subjects:
            task = {
                "model": str(model.path),
                "device": device,
                "threads": threads,
                "rainy": str(path),
            }
            workers.append(stack.enter_context(WorkerProcess(task)))
            on_step()
        calls: list[Callable[[], object]] = [partial(worker.ask, IMAGE) for worker in workers]
        images = time_in_turns(calls, rounds, count_warm_up_rounds(megapixels), on_step)
        # Read before the network runs alone, which takes memory that users do not need.
        peaks = [worker.ask(MEMORY) for worker in workers]
        limits = list_limits(
            in_bfloat16=any("bfloat16" in worker.description["engine"] for worker in workers)
        )
        limits_worker = stack.enter_context(
            WorkerProcess(
                {"limits": limits, "threads": threads}, dict.fromkeys(_BLAS_THREADS, str(threads))
            )
        )
        calls = [partial(worker.ask, NETWORK) for worker in workers]
        calls += [partial(limits_worker.ask, " ".join(limit)) for limit in limits]
        # One round of warm-up is enough: the engines are warm.
        seconds = time_in_turns(calls, rounds, 1, on_step)
    networks, limit_seconds = seconds[: len(workers)], seconds[len(workers) :]
    rows = [
        {
            "model": subject.model.name,
            # The opened device, since the requested one may be "auto".
            "device": worker.description["device"],
            "engine": worker.description["engine"],
            "height": rainy.shape[0],
            "width": rainy.shape[1],
            "network": Timing.from_seconds(network),
            "image": Timing.from_seconds(image),
            "first_seconds": worker.ready_seconds,
            "peak_bytes": peak,
        }
        for subject, worker, network, image, peak in zip(
            subjects, workers, networks, images, peaks, strict=True
        )
    ]
    return rows, dict(zip(limits, limit_seconds, strict=True))
