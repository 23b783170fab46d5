"""Streak layers drawn beforehand, for training: a rainy crop then costs a composition and no drawing.

A bank is plain arrays: it can be pickled, and workers that were forked share its memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from crdnet.density import RainDensity
from crdnet.errors import RecipeError
from crdnet.rain.compose import check_picture
from crdnet.rain.layers import Layer, StreakLibrary, add_light
from crdnet.rain.pairs import RainyPair, drawn_to_target, finish, fitted_gain
from crdnet.rain.presets import sample_spec, sample_target
from crdnet.rain.spec import RainSpec

_GRADES = (RainDensity.LIGHT, RainDensity.MEDIUM, RainDensity.HEAVY)
_SECOND_LAYER_SHARE = 0.25
_MIDDLE_GREY = 105
"""What layers are drawn bright enough for; the median of photographs lies about there."""


@dataclass(frozen=True, eq=False, slots=True)
class BankedLayer:
    """One layer of a bank.

    Attributes:
        spec: What it was drawn from.
        streaks: Its light (side, side), at gain 1.
    """

    spec: RainSpec
    streaks: Layer


@dataclass(frozen=True, eq=False, slots=True)
class LayerBank:
    """Layers by the density that they were drawn for.

    Attributes:
        layers: At least one for each of LIGHT, MEDIUM and HEAVY, all squares of one side.
    """

    layers: dict[RainDensity, tuple[BankedLayer, ...]]

    def __post_init__(self) -> None:
        """Check that every grade has layers, of one side."""
        if any(not self.layers.get(grade) for grade in _GRADES):
            raise RecipeError("a bank needs layers for light, medium and heavy rain")
        shapes = {each.streaks.shape for layers in self.layers.values() for each in layers}
        if len(shapes) > 1 or len(set(next(iter(shapes)))) > 1:
            raise RecipeError(f"the layers of a bank are squares of one side, got {sorted(shapes)}")

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        *,
        per_density: int = 64,
        side: int = 512,
        scales: Sequence[float] = (1.0,),
        library: StreakLibrary | None = None,
    ) -> "LayerBank":
        """Draw a bank: some 30 ms a layer at scale 1, `side` squared bytes each.

        Args:
            rng: The same state gives the same bank on every machine.
            per_density: Layers for each of LIGHT, MEDIUM and HEAVY.
            side: Pixels of a layer; the largest crop that can be taken.
            scales: Scales of rain, drawn in turn.
            library: Photorealistic streaks to use beside the drawn ones.
        """
        if per_density < 1 or side < 1 or not scales:
            raise RecipeError(
                f"a bank needs layers, a side and scales, got per_density={per_density}, side={side}, "
                f"scales={tuple(scales)}"
            )
        middle_grey = np.full((side, side, 3), _MIDDLE_GREY, np.uint8)
        layers = {}
        for grade in _GRADES:
            drawn = []
            for number in range(per_density):
                scale = scales[number % len(scales)]
                target = sample_target(grade, rng)
                spec = sample_spec(grade, rng, scale=scale, photoreal=library is not None, target=target)
                streaks, spec = drawn_to_target(middle_grey, spec, grade, target, rng, library)
                drawn.append(BankedLayer(replace(spec, gain=1.0), streaks))
            layers[grade] = tuple(drawn)
        return cls(layers)

    @property
    def side(self) -> int:
        """Pixels of a layer."""
        return int(self.layers[RainDensity.LIGHT][0].streaks.shape[0])

    def rainy_pair(
        self,
        clean: npt.NDArray[np.uint8],
        density: RainDensity,
        rng: np.random.Generator,
        *,
        jpeg_quality: int | None = None,
    ) -> RainyPair:
        """Put a random crop of one or two layers on a crop of a picture.

        Args:
            clean: RGB picture (h, w, 3), no larger than the layers.
            density: Grade to aim at; the pair says which it has. A crop of sparse rain may hold less.
            rng: Chooses layers, crops, mirroring and strength.
            jpeg_quality: Where given, both pictures go through JPEG at this quality.
        """
        check_picture(clean)
        height, width = clean.shape[:2]
        if density is RainDensity.NONE:
            return finish(clean, np.zeros((height, width), np.uint8), RainSpec(), jpeg_quality)
        spec, streaks = self._crop(density, height, width, rng)
        if rng.integers(256) < 256 * _SECOND_LAYER_SHARE:
            second, more = self._crop(density, height, width, rng)
            spec, streaks = replace(spec, layers=spec.layers + second.layers), add_light(streaks, more)
        target = sample_target(density, rng)
        spec = replace(spec, gain=fitted_gain(clean, streaks, spec, density, target))
        return finish(clean, streaks, spec, jpeg_quality)

    def _crop(
        self, density: RainDensity, height: int, width: int, rng: np.random.Generator
    ) -> tuple[RainSpec, Layer]:
        if max(height, width) > self.side:
            raise RecipeError(
                f"a crop of {height} x {width} is larger than the bank's layers of {self.side} x {self.side}; "
                "draw the bank with a larger side"
            )
        layers = self.layers[density]
        chosen = layers[int(rng.integers(len(layers)))]
        top = int(rng.integers(self.side - height + 1))
        left = int(rng.integers(self.side - width + 1))
        streaks = chosen.streaks[top : top + height, left : left + width]
        if rng.integers(2):
            streaks = streaks[:, ::-1]
        if rng.integers(2):
            streaks = streaks[::-1]
        return chosen.spec, streaks
