"""Lookalikes of rain drawn on scenes, and a table of what a model does to them.

    python -m tests.runtime.like_rain [--model NAME] [--sheet FILE]  # table of docs/real-rain.md

Each generator returns the scene without and with the lookalike. What a model removes is measured
as the share of the lookalike's contrast, in pixels whose luma it changes by at least 12 levels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, sin
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from crdnet import Derainer, RainDensity
from crdnet.density import luma
from crdnet.metrics import psnr

Pixels = npt.NDArray[np.uint8]
Pair = tuple[Pixels, Pixels]
"""A scene, and the scene with something on it."""
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "clean"
SEEDS = range(2)
VISIBLE = 12
"""Grey levels that a pixel must have gained or lost to count in the contrast."""
FINE = 2
"""Supersampling factor: shapes are drawn at this scale, then reduced to smooth their edges."""
WHITE = (245, 247, 250)


class _Layer:
    """A mask with a pen, drawn `FINE` times finer than the scene it is laid on."""

    def __init__(self, scene: Pixels) -> None:
        self.scene = scene
        self.height, self.width = scene.shape[:2]
        self.mask = Image.new("L", (FINE * self.width, FINE * self.height))
        self.pen = ImageDraw.Draw(self.mask)

    def disc(self, x: float, y: float, radius: float, level: float = 1.0) -> None:
        box = tuple(FINE * each for each in (x - radius, y - radius, x + radius, y + radius))
        self.pen.ellipse(box, fill=round(255 * level))

    def stroke(
        self, x: float, y: float, dx: float, dy: float, width: float, level: float = 1.0
    ) -> None:
        ends = tuple(FINE * each for each in (x, y, x + dx, y + dy))
        self.pen.line(ends, fill=round(255 * level), width=max(1, round(FINE * width)))

    def covered(self, blur: float = 0.6) -> npt.NDArray[np.float32]:
        """Return the mask (h, w, 1) in [0, 1], blurred by so many pixels of the scene."""
        blurred = self.mask.filter(ImageFilter.GaussianBlur(FINE * blur)).reduce(FINE)
        return np.asarray(blurred, np.float32)[..., np.newaxis] / np.float32(255)

    def painted(
        self, colour: tuple[int, int, int], opacity: float = 1.0, blur: float = 0.6
    ) -> Pixels:
        """Return the scene with a colour where the mask is white."""
        return _mixed(
            self.scene, np.array(colour, np.float32), np.float32(opacity) * self.covered(blur)
        )


def snow(scene: Pixels, rng: np.random.Generator) -> Pair:
    """Return slow snow: round flakes, the near ones large and out of focus."""
    snowy = scene
    for number, least, most, blur, opacity in ((250, 0.7, 1.6, 0.5, 0.9), (25, 3, 6, 2.0, 0.6)):
        layer = _Layer(snowy)
        for x, y, radius in _places(layer, rng, number, least, most):
            layer.disc(x, y, radius)
        snowy = layer.painted(WHITE, opacity, blur)
    return scene, snowy


def driving_snow(scene: Pixels, rng: np.random.Generator) -> Pair:
    """Return snow in the wind, whose flakes leave short wide traces of one direction."""
    layer, angle = _Layer(scene), rng.uniform(-0.9, 0.9)
    for x, y, length in _places(layer, rng, 250, 4, 14):
        layer.stroke(x, y, length * sin(angle), length * cos(angle), rng.uniform(1.5, 3))
    return scene, layer.painted(WHITE, 0.7, 0.9)


def hail(scene: Pixels, rng: np.random.Generator) -> Pair:
    """Return hail: bright stones with traces straight down, and stones that bounce."""
    layer, angle = _Layer(scene), rng.normal(0, 0.1)
    for x, y, length in _places(layer, rng, 120, 8, 28):
        layer.stroke(x, y, length * sin(angle), length * cos(angle), rng.uniform(1.5, 3.5), 0.8)
        layer.disc(x, y, rng.uniform(1, 2))
    for x, y, radius in _places(layer, rng, 60, 1, 2.5, top=0.7):
        layer.disc(x, y, radius)
    return scene, layer.painted(WHITE, 0.85)


def splashes(scene: Pixels, rng: np.random.Generator) -> Pair:
    """Return crowns of water that drops throw up from the ground, without the drops."""
    layer = _Layer(scene)
    for x, y, reach in _places(layer, rng, 60, 3, 9, top=0.6):
        for angle in rng.uniform(-1.2, 1.2, int(rng.integers(4, 9))):
            dx, dy = reach * sin(angle), -reach * cos(angle)
            layer.stroke(x, y, dx, dy, 0.8, 0.6)
            layer.disc(x + 1.2 * dx, y + 1.2 * dy, rng.uniform(0.5, 1.1))
        layer.stroke(x - reach, y, 2 * reach, 0, 1, 0.5)
    return scene, layer.painted(WHITE, 0.8)


def lens_drops(scene: Pixels, rng: np.random.Generator) -> Pair:
    """Return drops on the lens: blurred discs that show the scene upside down."""
    return scene, _refracted(scene, rng, _places(_Layer(scene), rng, 14, 8, 32), blur=3.0)


def windscreen(scene: Pixels, rng: np.random.Generator) -> Pair:
    """Return a wet pane with many small drops in focus and trails, in front of a blurred scene."""
    behind = np.asarray(Image.fromarray(scene).filter(ImageFilter.GaussianBlur(2.5)))
    layer = _Layer(behind)
    wet = _refracted(behind, rng, _places(layer, rng, 350, 1.2, 5), blur=0.6)
    layer = _Layer(wet)
    for start, y, length in _places(layer, rng, 8, 40, 160):
        x = start
        for step in np.arange(0, length, 4.0).tolist():
            sway = rng.normal(0, 1)
            layer.stroke(x, y + step, sway, 4.5, rng.uniform(1.5, 3.5))
            x += sway
    return behind, layer.painted(WHITE, 0.25, 0.8)


def spray(scene: Pixels, rng: np.random.Generator) -> Pair:
    """Return the mist that wheels throw up: a soft cloud with fine dots in it."""
    layer = _Layer(scene)
    middle = rng.uniform(0.3, 0.7) * layer.width
    for _ in range(60):
        x, y = rng.normal(middle, 0.12 * layer.width), layer.height * (1 - abs(rng.normal(0, 0.2)))
        layer.disc(x, y, rng.uniform(5, 25), rng.uniform(0.2, 0.8))
    cloud = layer.painted(WHITE, 0.7, 12.0)
    dots = _Layer(cloud)
    for _ in range(250):
        x, y = rng.normal(middle, 0.15 * layer.width), layer.height * (1 - abs(rng.normal(0, 0.25)))
        dots.disc(x, y, rng.uniform(0.4, 1.1))
    return scene, dots.painted(WHITE, 0.7)


def fountain(scene: Pixels, rng: np.random.Generator) -> Pair:
    """Return jets that rise, part into drops and fall back."""
    layer = _Layer(scene)
    for jet in np.linspace(0.2, 0.8, int(rng.integers(3, 7))).tolist():
        foot, peak = jet * layer.width, layer.height * rng.uniform(0.4, 0.75)
        for _ in range(90):
            reach, when = rng.normal(0, 0.1) * layer.width, rng.uniform(0, 1)
            x, y = foot + reach * when, layer.height * 0.95 - 4 * peak * when * (1 - when)
            speed = 10 * (1 - 2 * when)
            layer.stroke(x, y, reach / 40, -speed, rng.uniform(0.6, 2), rng.uniform(0.4, 1))
        layer.stroke(foot, layer.height * 0.95, 0, -0.8 * peak, 2.5, 0.8)
    return scene, layer.painted(WHITE, 0.85)


def starry_sky(scene: Pixels, rng: np.random.Generator) -> Pair:
    """Return a night sky above the dark scene, with many faint stars and a few that glow."""
    height = scene.shape[0]
    share = np.clip(np.linspace(-2, 3, height), 0, 1)[:, np.newaxis, np.newaxis].astype(np.float32)
    sky = (
        np.array((8, 12, 26), np.float32)
        + 14 * share
        + rng.normal(0, 1.5, scene.shape).astype(np.float32)
    )
    night = _mixed(_rounded(sky), np.float32(0.18) * scene.astype(np.float32), share)
    layer = _Layer(night)
    for x, y, radius in _places(layer, rng, 500, 0.3, 0.8, bottom=0.55):
        layer.disc(x, y, radius, rng.beta(1, 3))
    starry = layer.painted(WHITE, 1.0, 0.35)
    layer = _Layer(starry)
    for x, y, radius in _places(layer, rng, 15, 0.8, 1.8, bottom=0.55):
        layer.disc(x, y, radius)
    return night, layer.painted(WHITE, 1.0, 0.9)


def confetti(scene: Pixels, rng: np.random.Generator) -> Pair:
    """Return bright paper of all colours in the air, turned every way."""
    scattered = scene
    for _ in range(6):
        layer = _Layer(scattered)
        red, green, blue = rng.integers(0, 256, 3).tolist()
        for x, y, length in _places(layer, rng, 30, 3, 9):
            angle = rng.uniform(0, pi)
            layer.stroke(x, y, length * sin(angle), length * cos(angle), rng.uniform(1.5, 4.5))
        scattered = layer.painted((red, green, blue), 0.95, 0.5)
    return scene, scattered


LIKE_RAIN: dict[str, Callable[[Pixels, np.random.Generator], Pair]] = {
    "snow": snow,
    "driving_snow": driving_snow,
    "hail": hail,
    "splashes": splashes,
    "lens_drops": lens_drops,
    "windscreen": windscreen,
    "spray": spray,
    "fountain": fountain,
    "starry_sky": starry_sky,
    "confetti": confetti,
}


@dataclass(frozen=True)
class Outcome:
    """Sensed intensity and output of one image with something like rain on it."""

    density: RainDensity
    intensity: float
    left_alone: bool
    taken_out: float
    """Share of the contrast that is gone: 0 none, 1 all, below 0 where it was made stronger."""
    gain: float
    """PSNR against the scene after less before, in dB (restormer-y)."""


def pairs(name: str) -> list[Pair]:
    """Return a thing on every clean example, from several seeds."""
    scenes = [
        np.asarray(Image.open(path).convert("RGB")) for path in sorted(EXAMPLES.glob("*.jpg"))
    ]
    return [
        LIKE_RAIN[name](scene, np.random.default_rng((seed, number, *name.encode())))
        for number, scene in enumerate(scenes)
        for seed in SEEDS
    ]


def outcome_of(derainer: Derainer, pair: Pair) -> Outcome:
    """Derain an image as a file is, and compare with the scene and with what went in."""
    scene, image = pair
    result = derainer.run(image, always=False)
    assert (result.image.shape, result.image.dtype) == (image.shape, image.dtype)
    assert result.density is not None
    assert result.intensity is not None
    gain = psnr(result.image, scene, "restormer-y") - psnr(image, scene, "restormer-y")
    return Outcome(
        result.density,
        result.intensity,
        result.left_alone,
        share_taken_out(*pair, result.image),
        gain,
    )


def share_taken_out(scene: Pixels, image: Pixels, derained: Pixels) -> float:
    """Return the share of what an image adds to its scene that is gone: 0 none, 1 all."""
    truth, before, after = (255 * luma(each / np.float32(255)) for each in (scene, image, derained))
    added = before - truth
    seen = np.abs(added) >= VISIBLE
    left = ((after - truth) * added)[seen].sum() / (added**2)[seen].sum()
    return float(1 - left)


@click.command(help=(__doc__ or "").splitlines()[0])
@click.option("-m", "--model", default="default", show_default=True)
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    help="Image of one example of each, before and after.",
)
def main(*, model: str, sheet: Path | None) -> None:
    derainer = Derainer(model, threads=1)
    click.echo(
        "| thing | sensed | S | left alone | contrast removed | gain, dB |\n"
        "|---|---|---|---|---|---|"
    )
    rows = []
    for name in LIKE_RAIN:
        images = pairs(name)
        outcomes = [outcome_of(derainer, pair) for pair in images]
        grades = [sum(each.density is grade for each in outcomes) for grade in RainDensity]
        sensed = ", ".join(
            f"{grade.name} {n}" for grade, n in zip(RainDensity, grades, strict=True) if n
        )
        intensity, taken, gain = (
            np.mean([getattr(each, field) for each in outcomes])
            for field in ("intensity", "taken_out", "gain")
        )
        alone = sum(each.left_alone for each in outcomes)
        click.echo(
            f"| {name.replace('_', ' ')} | {sensed} | {intensity:.1f} | {alone} of {len(outcomes)} "
            f"| {taken:.0%} | {gain:+.2f} |"
        )
        image = images[-1][1]
        rows.append(np.hstack([image, derainer.run(image, always=False).image]))
    if sheet is not None:
        Image.fromarray(np.vstack(rows)).save(sheet)


def _places(
    layer: _Layer,
    rng: np.random.Generator,
    number: int,
    least: float,
    most: float,
    top: float = 0.0,
    bottom: float = 1.0,
) -> list[tuple[float, float, float]]:
    """Return places in a band of the scene, each with a size."""
    low, high = (
        np.array((0, top * layer.height, least)),
        np.array((layer.width, bottom * layer.height, most)),
    )
    return [(x, y, size) for x, y, size in rng.uniform(low, high, (number, 3)).tolist()]


def _refracted(
    scene: Pixels, rng: np.random.Generator, drops: list[tuple[float, float, float]], blur: float
) -> Pixels:
    """Return a scene with drops on glass.

    Each drop shows a wide part of the scene upside down, dark above and lit below.
    """
    turned = Image.fromarray(scene).transpose(Image.Transpose.ROTATE_180)
    turned = turned.filter(ImageFilter.GaussianBlur(4))
    layer, light = _Layer(scene), _Layer(scene)
    for x, y, radius in drops:
        layer.disc(x, y, radius)
        light.disc(x, y + 0.55 * radius, 0.5 * radius, rng.uniform(0.4, 0.9))
    shade = 0.75 + 0.35 * light.covered(max(0.8, blur))
    inside = np.asarray(turned, np.float32) * shade + 40 * light.covered(max(0.8, blur))
    return _mixed(scene, inside, np.float32(0.9) * layer.covered(blur))


def _mixed(
    scene: Pixels, colours: npt.NDArray[np.float32], covered: npt.NDArray[np.float32]
) -> Pixels:
    return _rounded(scene.astype(np.float32) * (1 - covered) + colours * covered)


def _rounded(colours: npt.NDArray[np.float32]) -> Pixels:
    rounded: Pixels = np.clip(np.rint(colours), 0, 255).astype(np.uint8)
    return rounded


if __name__ == "__main__":
    main()
