"""Synthetic rain for clean images.

All functions are pure functions of (image, spec, rng) and need numpy and Pillow, never torch. The
same seed gives the same pixels on every machine.
"""

from crdnet.rain.bank import BankedLayer, LayerBank
from crdnet.rain.camera import (
    CameraRain,
    compute_camera_veil,
    draw_camera_opacity,
    estimate_drop_light,
    sample_camera_streaks,
)
from crdnet.rain.capture import defocus, grade_colours, simulate_capture
from crdnet.rain.compose import RgbImage, compose, compress, decompress, measure_intensity
from crdnet.rain.dataset import PairFolder, PairPlace, make_rng
from crdnet.rain.drops import Streaks, compose_drops, draw_streaks
from crdnet.rain.layers import StreakLibrary, add_light, amplify, render
from crdnet.rain.lookalikes import LOOKALIKES
from crdnet.rain.pairs import (
    PairDrawer,
    PairOptions,
    PairPlan,
    describe_pairs,
    draw_pairs,
    plan_pairs,
)
from crdnet.rain.presets import sample_spec, sample_target
from crdnet.rain.random_rain import (
    add_random_drops,
    draw_lamps,
    sample_camera,
    sample_lamps,
    sample_streaks,
)
from crdnet.rain.recorded import RecordedRain, RecordedWindow
from crdnet.rain.spec import (
    Haze,
    LineStreaks,
    NoiseStreaks,
    PhotorealStreaks,
    RainSpec,
    StreakKind,
    choose_rain_scale,
)
from crdnet.rain.synthesis import RainyPair, make_rainy_pair

__all__ = [
    "LOOKALIKES",
    "BankedLayer",
    "CameraRain",
    "Haze",
    "LayerBank",
    "LineStreaks",
    "NoiseStreaks",
    "PairDrawer",
    "PairFolder",
    "PairOptions",
    "PairPlace",
    "PairPlan",
    "PhotorealStreaks",
    "RainSpec",
    "RainyPair",
    "RecordedRain",
    "RecordedWindow",
    "RgbImage",
    "StreakKind",
    "StreakLibrary",
    "Streaks",
    "add_light",
    "add_random_drops",
    "amplify",
    "choose_rain_scale",
    "compose",
    "compose_drops",
    "compress",
    "compute_camera_veil",
    "decompress",
    "defocus",
    "describe_pairs",
    "draw_camera_opacity",
    "draw_lamps",
    "draw_pairs",
    "draw_streaks",
    "estimate_drop_light",
    "grade_colours",
    "make_rainy_pair",
    "make_rng",
    "measure_intensity",
    "plan_pairs",
    "render",
    "sample_camera",
    "sample_camera_streaks",
    "sample_lamps",
    "sample_spec",
    "sample_streaks",
    "sample_target",
    "simulate_capture",
]
