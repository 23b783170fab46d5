"""Parameters of rain, validated at construction and convertible to JSON.

Lengths and widths are pixels of an image about 500 px long, like in the data sets of the field. The
`scale` of a `RainSpec` multiplies them: an image of 4000 px has streaks eight times as long and as
wide, and 64 times fewer of them per megapixel.

Angles are degrees from straight down, positive towards the right. Brightness and other shares lie
in [0, 1].
"""

from dataclasses import asdict, dataclass

from crdnet.errors import RecipeError

LENGTH_PIXELS = (8.0, 200.0)
WIDTH_PIXELS = (0.5, 8.0)
SCALE = (0.25, 16.0)
MAX_GAIN = 4.0
"""Largest gain of a layer; a larger gain would turn its antialiased edges into stairs."""


def _check_range(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise RecipeError(f"{what} of rain lies in {low:g} to {high:g}, got {value:g}")


@dataclass(frozen=True, slots=True)
class LineStreaks:
    """Straight streaks of drops at about one distance, drawn one by one.

    Attributes:
        per_megapixel: Number per million pixels (at scale 1), above 0 and up to 50,000.
        length: Length in pixels, 8 to 200.
        width: Width in pixels, 0.5 to 8.
        angle_degrees: Mean direction, -90 to 90.
        angle_spread_degrees: Largest deviation of a streak from it, 0 to 45.
        sharpness: 1 is a line with hard edges and blunt ends, 0 one that fades towards all sides.
        brightness: Light of the brightest streaks.
        variation: Largest relative reduction of length, width and light of a streak, 0 to 0.9.
    """

    per_megapixel: float
    length: float
    width: float
    angle_degrees: float = 0.0
    angle_spread_degrees: float = 2.0
    sharpness: float = 0.5
    brightness: float = 0.7
    variation: float = 0.5

    def __post_init__(self) -> None:
        """Check the numbers."""
        _check_range("per_megapixel", self.per_megapixel, 1e-3, 50_000.0)
        _check_range("length", self.length, *LENGTH_PIXELS)
        _check_range("width", self.width, *WIDTH_PIXELS)
        _check_range("angle_degrees", self.angle_degrees, -90.0, 90.0)
        _check_range("angle_spread_degrees", self.angle_spread_degrees, 0.0, 45.0)
        _check_range("sharpness", self.sharpness, 0.0, 1.0)
        _check_range("brightness", self.brightness, 0.0, 1.0)
        _check_range("variation", self.variation, 0.0, 0.9)


@dataclass(frozen=True, slots=True)
class NoiseStreaks:
    """Dense rain by the recipe of DID-MDN, DDN and Rain800: noise, motion blur, levels.

    Attributes:
        level: Share of the noise that passes the levels; in DID-MDN 0.05 to 0.35 is light, up to
            0.65 medium, up to 0.95 heavy.
        length: Length of the motion blur in pixels, 8 to 200.
        width: Width of a grain of the noise in pixels, 0.5 to 8.
        angle_degrees: Direction of the motion blur, -45 to 45.
        brightness: Light of noise that passes completely.
    """

    level: float
    length: float
    width: float = 1.0
    angle_degrees: float = 0.0
    brightness: float = 0.8

    def __post_init__(self) -> None:
        """Check the numbers."""
        _check_range("level", self.level, 0.0, 1.0)
        _check_range("length", self.length, *LENGTH_PIXELS)
        _check_range("width", self.width, *WIDTH_PIXELS)
        _check_range("angle_degrees of noise", self.angle_degrees, -45.0, 45.0)
        _check_range("brightness", self.brightness, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class PhotorealStreaks:
    """Mix of streak images from a folder, each rotated, sheared, zoomed and shifted.

    The limits are those of RainMix (Guo et al., AAAI 2021).

    Attributes:
        chains: Number of mixed streak images, 1 to 3.
        rotation_degrees: Largest rotation of an image, 0 to 9.
        shear: Largest shear of an image, 0 to 0.09.
        zoom: Largest magnification of an image, 1 to 4.
        brightness: Factor of the light of the streak images.
    """

    chains: int = 3
    rotation_degrees: float = 9.0
    shear: float = 0.09
    zoom: float = 1.5
    brightness: float = 1.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        _check_range("chains", float(self.chains), 1.0, 3.0)
        _check_range("rotation_degrees", self.rotation_degrees, 0.0, 9.0)
        _check_range("shear", self.shear, 0.0, 0.09)
        _check_range("zoom", self.zoom, 1.0, 4.0)
        _check_range("brightness", self.brightness, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Haze:
    """Veil of drops too far away to be visible one by one (Li, Cheong and Tan, CVPR 2019).

    The share t = exp(-beta d) of the light of the scene arrives, and the rest is airlight. The
    depth d falls from 1 at the top of the image to 0 at its bottom.

    Attributes:
        beta: Attenuation over the whole depth, 0 to 2.
        airlight: Grey of the veil.
    """

    beta: float
    airlight: float = 0.8

    def __post_init__(self) -> None:
        """Check the numbers."""
        _check_range("beta", self.beta, 0.0, 2.0)
        _check_range("airlight", self.airlight, 0.0, 1.0)


StreakKind = LineStreaks | NoiseStreaks | PhotorealStreaks


@dataclass(frozen=True, slots=True)
class RainSpec:
    """Complete rain of an image.

    Attributes:
        layers: Streaks, whose light is added; empty for a dry image.
        blend: Composition of streaks and scene: 0 adds and clips, 1 screens, which weakens streaks
            in bright places.
        gain: Factor of the light of the layers and of the beta of the haze, 0 to 4.
        blur_pixels: Standard deviation of a blur of the streaks (at scale 1), 0 to 8.
        haze: Veil behind the streaks, or None.
        scale: Factor of lengths and widths, 0.25 to 16; see `choose_rain_scale`.
    """

    layers: tuple[StreakKind, ...] = ()
    blend: float = 1.0
    gain: float = 1.0
    blur_pixels: float = 0.0
    haze: Haze | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        _check_range("blend", self.blend, 0.0, 1.0)
        _check_range("gain", self.gain, 0.0, MAX_GAIN)
        _check_range("blur_pixels", self.blur_pixels, 0.0, 8.0)
        _check_range("scale", self.scale, *SCALE)

    def as_dict(self) -> dict[str, object]:
        """Return the spec as JSON values; each layer has its `kind`."""
        values = asdict(self)
        values["layers"] = [
            {
                "kind": type(layer).__name__,
                **asdict(layer),
            }
            for layer in self.layers
        ]
        return values


def choose_rain_scale(height: int, width: int) -> float:
    """Choose the scale of rain for the longer side of an image: 1 up to 500 px, 8 for 4000 px."""
    return min(max(max(height, width) / 500.0, 1.0), SCALE[1])
