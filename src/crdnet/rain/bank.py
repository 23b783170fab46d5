"""Bank of streak layers for training, drawn in advance.

A rainy crop then costs only a composition. A bank consists of plain arrays: it can be pickled, and
forked workers share its memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from crdnet.density import RAINY_GRADES, RainDensity
from crdnet.errors import RecipeError
from crdnet.rain.compose import check_image
from crdnet.rain.layers import Layer, StreakLibrary, add_light
from crdnet.rain.presets import sample_spec, sample_target
from crdnet.rain.spec import RainSpec
from crdnet.rain.synthesis import RainyPair, draw_to_target, finish_pair, fit_gain

_SECOND_LAYER_SHARE = 0.25
# Level of the image for which layers are drawn bright enough, near the median of photographs.
_MIDDLE_GREY = 105


@dataclass(frozen=True, eq=False, slots=True)
class BankedLayer:
    """Layer of a bank.

    Attributes:
        spec: Spec of the layer.
        streaks: Light of the streaks (side, side), at gain 1.
    """

    spec: RainSpec
    streaks: Layer


@dataclass(frozen=True, eq=False, slots=True)
class LayerBank:
    """Layers by density.

    Attributes:
        layers: At least one layer for each of LIGHT, MEDIUM and HEAVY, all squares of one side.
    """

    layers: dict[RainDensity, tuple[BankedLayer, ...]]

    def __post_init__(self) -> None:
        """Check that every grade has layers and all have one side."""
        if any(not self.layers.get(grade) for grade in RAINY_GRADES):
            raise RecipeError("a bank needs layers for light, medium and heavy rain")
        shapes = {each.streaks.shape for layers in self.layers.values() for each in layers}
        # Crops are drawn without looking at the layer, so all must have one size.
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
        """Draw a bank; a layer takes some 30 ms at scale 1 and `side` squared bytes.

        Args:
            rng: Generator; the same state gives the same bank on every machine.
            per_density: Number of layers for each of LIGHT, MEDIUM and HEAVY.
            side: Side of a layer in pixels, which limits the size of crops.
            scales: Scales of rain, used in turn.
            library: Photorealistic streaks to use besides the drawn ones.

        Raises:
            RecipeError: An argument is out of range.
        """
        if per_density < 1 or side < 1 or not scales:
            raise RecipeError(
                f"a bank needs layers, a side and scales, got per_density={per_density}, "
                f"side={side}, scales={tuple(scales)}",
            )
        middle_grey = np.full((side, side, 3), _MIDDLE_GREY, np.uint8)
        layers = {}
        for grade in RAINY_GRADES:
            drawn = []
            for number in range(per_density):
                # In turn and not at random, so that each scale has the same number of layers.
                scale = scales[number % len(scales)]
                target = sample_target(grade, rng)
                spec = sample_spec(
                    grade,
                    rng,
                    scale=scale,
                    photoreal=library is not None,
                    target=target,
                )
                streaks, spec = draw_to_target(middle_grey, spec, grade, target, rng, library)
                drawn.append(BankedLayer(replace(spec, gain=1.0), streaks))
            layers[grade] = tuple(drawn)
        return cls(layers)

    @property
    def side(self) -> int:
        """Side of a layer, in pixels."""
        return int(self.layers[RainDensity.LIGHT][0].streaks.shape[0])

    def make_pair(
        self,
        clean: npt.NDArray[np.uint8],
        density: RainDensity,
        rng: np.random.Generator,
        *,
        jpeg_quality: int | None = None,
    ) -> RainyPair:
        """Add a random crop of one or two layers to a crop of an image.

        Args:
            clean: RGB image (h, w, 3), no larger than the layers.
            density: Target grade. A crop of sparse rain may have less; the pair has the measured
                grade.
            rng: Generator for layers, crops, mirroring and intensity.
            jpeg_quality: Quality at which both images go through JPEG; None for no JPEG.

        Raises:
            RecipeError: The crop is larger than the layers.
        """
        check_image(clean)
        height, width = clean.shape[:2]
        if density is RainDensity.NONE:
            return finish_pair(clean, np.zeros((height, width), np.uint8), RainSpec(), jpeg_quality)
        spec, streaks = self._crop(density, height, width, rng)
        # Integers, since the comparison must give the same result on every machine.
        if rng.integers(256) < 256 * _SECOND_LAYER_SHARE:
            second, more = self._crop(density, height, width, rng)
            spec, streaks = (
                replace(spec, layers=spec.layers + second.layers),
                add_light(streaks, more),
            )
        target = sample_target(density, rng)
        spec = replace(spec, gain=fit_gain(clean, streaks, spec, density, target))
        return finish_pair(clean, streaks, spec, jpeg_quality)

    def _crop(
        self, density: RainDensity, height: int, width: int, rng: np.random.Generator
    ) -> tuple[RainSpec, Layer]:
        if max(height, width) > self.side:
            raise RecipeError(
                f"a crop of {height} x {width} is larger than the bank's layers of "
                f"{self.side} x {self.side}; draw the bank with a larger side",
            )
        layers = self.layers[density]
        chosen = layers[int(rng.integers(len(layers)))]
        # Crops and mirroring make many different layers from one.
        top = int(rng.integers(self.side - height + 1))
        left = int(rng.integers(self.side - width + 1))
        streaks = chosen.streaks[top : top + height, left : left + width]
        if rng.integers(2):
            streaks = streaks[:, ::-1]
        if rng.integers(2):
            streaks = streaks[::-1]
        return chosen.spec, streaks
