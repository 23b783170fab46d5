"""How fast rain is made: `python benchmarks/rain.py [FOLDER OF STREAKS]`.

Contract: one thread, process time (which a busy machine does not lengthen), the median of five rounds after
one for warming up. Pictures are drawn by code; reading and writing files is not counted, JPEG only where told.
"""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from crdnet.density import RainDensity
from crdnet.rain import (
    LayerBank,
    RainSpec,
    StreakLibrary,
    choose_rain_scale,
    compose,
    make_rainy_pair,
)

GRADES = tuple(RainDensity)
ROUNDS = 5


def scene(height: int, width: int) -> npt.NDArray[np.uint8]:
    coarse = np.random.default_rng(1).integers(20, 180, (8, 8, 3), dtype=np.uint8)
    return np.ascontiguousarray(
        np.kron(coarse, np.ones((-(-height // 8), -(-width // 8), 1), np.uint8))[:height, :width]
    )


def seconds(work: Callable[[int], object], times: int) -> float:
    """Return the median seconds of one piece of work."""
    rounds = []
    for turn in range(ROUNDS + 1):
        began = time.process_time()
        for number in range(times):
            work(turn * times + number)
        rounds.append((time.process_time() - began) / times)
    return statistics.median(rounds[1:])


def main() -> None:
    library = StreakLibrary.read(sys.argv[1]) if len(sys.argv) > 1 else None
    began = time.process_time()
    bank = LayerBank.draw(np.random.default_rng(0), per_density=16, library=library)
    print(
        f"drawing a layer of {bank.side} x {bank.side}: {(time.process_time() - began) / 48 * 1e3:.0f} ms"
    )

    patch = scene(128, 128)
    rng = np.random.default_rng(0)
    pair = bank.make_pair(patch, RainDensity.MEDIUM, rng)
    spec = pair.spec
    assert isinstance(spec, RainSpec)
    each = seconds(lambda _: compose(patch, pair.streaks, spec), 300)
    print(f"128 x 128 patches, composition alone:             {1 / each:6.0f} a second")
    each = seconds(lambda number: bank.make_pair(patch, GRADES[number % 4], rng), 300)
    print(f"128 x 128 patches, intensity searched and measured: {1 / each:6.0f} a second")
    each = seconds(
        lambda number: bank.make_pair(patch, GRADES[number % 4], rng, jpeg_quality=85), 100
    )
    print(f"the same, both pictures through JPEG:              {1 / each:6.0f} a second")
    for height, width, times in ((333, 500, 8), (3000, 4000, 2)):
        clean = scene(height, width)
        scale = choose_rain_scale(height, width)

        def whole(
            number: int, clean: npt.NDArray[np.uint8] = clean, scale: float = scale
        ) -> object:
            return make_rainy_pair(clean, GRADES[1 + number % 3], rng, scale=scale, library=library)

        each = seconds(whole, times)
        print(f"{width} x {height} picture, rain drawn anew (scale {scale:g}): {each:.2f} s")


if __name__ == "__main__":
    main()
