"""Rain for clean pictures: streak layers, their composition, presets by density.

Pure functions of (picture, spec, rng) on numpy and Pillow, never on torch; the same seed gives the same
pixels on every machine.
"""

from crdnet.rain.bank import BankedLayer, LayerBank
from crdnet.rain.camera import CameraRain, camera_opacity, camera_streaks, camera_veil, light_of_drops
from crdnet.rain.capture import captured, defocused, graded
from crdnet.rain.compose import compose, compress, decompress, strength_of
from crdnet.rain.dataset import PairFolder, PairPlace, rng_of
from crdnet.rain.drops import Streaks, compose_drops, draw_streaks
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
from crdnet.rain.variety import random_camera, random_drops, random_streaks

__all__ = [
    "LOOKALIKES",
    "BankedLayer",
    "CameraRain",
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
    "Streaks",
    "add_light",
    "amplify",
    "camera_opacity",
    "camera_streaks",
    "camera_veil",
    "captured",
    "compose",
    "compose_drops",
    "compress",
    "decompress",
    "defocused",
    "draw_streaks",
    "graded",
    "light_of_drops",
    "rainy_pair",
    "random_camera",
    "random_drops",
    "random_streaks",
    "render",
    "rng_of",
    "sample_spec",
    "sample_target",
    "scale_of",
    "strength_of",
]
