"""Rain for clean pictures: streak layers, their composition, presets by density.

Pure functions of (picture, spec, rng) on numpy and Pillow, never on torch; the same seed gives the same
pixels on every machine.
"""

from crdnet.rain.bank import BankedLayer, LayerBank
from crdnet.rain.compose import compose, compress, decompress, strength_of
from crdnet.rain.dataset import PairFolder, PairPlace, rng_of
from crdnet.rain.layers import StreakLibrary, add_light, amplify, render
from crdnet.rain.lookalikes import LOOKALIKES
from crdnet.rain.pairs import RainyPair, rainy_pair
from crdnet.rain.presets import sample_spec, sample_target
from crdnet.rain.spec import (
    Haze,
    LineStreaks,
    NoiseStreaks,
    PhotorealStreaks,
    RainSpec,
    StreakKind,
    scale_of,
)

__all__ = [
    "LOOKALIKES",
    "BankedLayer",
    "Haze",
    "LayerBank",
    "LineStreaks",
    "NoiseStreaks",
    "PairFolder",
    "PairPlace",
    "PhotorealStreaks",
    "RainSpec",
    "RainyPair",
    "StreakKind",
    "StreakLibrary",
    "add_light",
    "amplify",
    "compose",
    "compress",
    "decompress",
    "rainy_pair",
    "render",
    "rng_of",
    "sample_spec",
    "sample_target",
    "scale_of",
    "strength_of",
]
