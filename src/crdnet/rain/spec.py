"""What rain is made of, as values that are checked at birth and can be written down beside a picture.

Lengths and widths are pixels of a picture about 500 px long, as the data sets of the field have them. The
`scale` of a `RainSpec` multiplies them: a photograph of 4000 px has streaks eight times as long and as wide,
and 64 times fewer of them per megapixel.

Angles are degrees from straight down, positive where streaks fall towards the right. Brightness and other
shares lie in [0, 1].
"""

from dataclasses import asdict, dataclass

from crdnet.errors import RecipeError

LENGTH_PIXELS = (8.0, 200.0)
WIDTH_PIXELS = (0.5, 8.0)
SCALE = (0.25, 16.0)
MAX_GAIN = 4.0
"""More light than that a layer is not multiplied by: its antialiased edges would turn into stairs."""


def _check(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise RecipeError(f"{what} of rain lies in {low:g} to {high:g}, got {value:g}")


@dataclass(frozen=True, slots=True)
class LineStreaks:
    """Straight streaks of drops at about one distance, drawn one by one.

    Attributes:
        per_megapixel: How many per million pixels (at scale 1), above 0 and up to 50,000.
        length: Pixels from end to end, 8 to 200.
        width: Pixels across, 0.5 to 8.
        angle_degrees: Mean direction, -90 to 90.
        angle_spread_degrees: How far single streaks leave it, 0 to 45.
        sharpness: 1 is a line with hard edges and blunt ends, 0 one that fades towards all sides.
        brightness: Light of the brightest streaks.
        variation: How much shorter, thinner and fainter single streaks may be.
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
        _check("per_megapixel", self.per_megapixel, 1e-3, 50_000.0)
        _check("length", self.length, *LENGTH_PIXELS)
        _check("width", self.width, *WIDTH_PIXELS)
        _check("angle_degrees", self.angle_degrees, -90.0, 90.0)
        _check("angle_spread_degrees", self.angle_spread_degrees, 0.0, 45.0)
        _check("sharpness", self.sharpness, 0.0, 1.0)
        _check("brightness", self.brightness, 0.0, 1.0)
        _check("variation", self.variation, 0.0, 0.9)


@dataclass(frozen=True, slots=True)
class NoiseStreaks:
    """Dense rain by the recipe behind DID-MDN, DDN and Rain800: noise, motion blur, levels.

    Attributes:
        level: How much of the noise passes the levels; DID-MDN calls 0.05 to 0.35 light, up to 0.65 medium,
            up to 0.95 heavy.
        length: Pixels of the motion blur, 8 to 200.
        width: Pixels of a grain of the noise, 0.5 to 8.
        angle_degrees: Direction of the motion blur, -45 to 45.
        brightness: Light where the noise passes in full.
    """

    level: float
    length: float
    width: float = 1.0
    angle_degrees: float = 0.0
    brightness: float = 0.8

    def __post_init__(self) -> None:
        """Check the numbers."""
        _check("level", self.level, 0.0, 1.0)
        _check("length", self.length, *LENGTH_PIXELS)
        _check("width", self.width, *WIDTH_PIXELS)
        _check("angle_degrees of noise", self.angle_degrees, -45.0, 45.0)
        _check("brightness", self.brightness, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class PhotorealStreaks:
    """Streak pictures from a folder, each turned, sheared, zoomed and shifted, several mixed.

    The limits are those of RainMix (Guo et al., AAAI 2021).

    Attributes:
        chains: How many streak pictures are mixed, 1 to 3.
        rotation_degrees: How far each may be turned, 0 to 9.
        shear: How far each may be sheared, 0 to 0.09.
        zoom: How much larger each may become, 1 to 4.
        brightness: Light that is left of the streak pictures.
    """

    chains: int = 3
    rotation_degrees: float = 9.0
    shear: float = 0.09
    zoom: float = 1.5
    brightness: float = 1.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        _check("chains", float(self.chains), 1.0, 3.0)
        _check("rotation_degrees", self.rotation_degrees, 0.0, 9.0)
        _check("shear", self.shear, 0.0, 0.09)
        _check("zoom", self.zoom, 1.0, 4.0)
        _check("brightness", self.brightness, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Haze:
    """The veil of drops too far away to be seen one by one (Li, Cheong and Tan, CVPR 2019).

    Of the scene's light the share t = exp(-beta d) arrives, the rest is airlight. The depth d is 1 at the
    top of the picture and falls to 0 at its bottom.

    Attributes:
        beta: Attenuation over the whole depth, 0 to 2.
        airlight: Grey of the veil.
    """

    beta: float
    airlight: float = 0.8

    def __post_init__(self) -> None:
        """Check the numbers."""
        _check("beta", self.beta, 0.0, 2.0)
        _check("airlight", self.airlight, 0.0, 1.0)


StreakKind = LineStreaks | NoiseStreaks | PhotorealStreaks


@dataclass(frozen=True, slots=True)
class RainSpec:
    """The whole rain of a picture.

    Attributes:
        layers: The streaks, whose light adds up; none at all is a dry picture.
        blend: How streaks meet the scene: 0 adds and clips, 1 screens, which bright places hide from.
        gain: What the light of the layers (and the haze's beta) is multiplied by, 0 to 4.
        blur_pixels: Standard deviation of a blur of the streaks (at scale 1), 0 to 8.
        haze: The veil behind the streaks, or None.
        scale: What lengths and widths are multiplied by, 0.25 to 16; see `scale_of`.
    """

    layers: tuple[StreakKind, ...] = ()
    blend: float = 1.0
    gain: float = 1.0
    blur_pixels: float = 0.0
    haze: Haze | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        _check("blend", self.blend, 0.0, 1.0)
        _check("gain", self.gain, 0.0, MAX_GAIN)
        _check("blur_pixels", self.blur_pixels, 0.0, 8.0)
        _check("scale", self.scale, *SCALE)

    def as_dict(self) -> dict[str, object]:
        """Return the spec as values that JSON can hold; each layer says its kind."""
        values = asdict(self)
        values["layers"] = [{"kind": type(layer).__name__, **asdict(layer)} for layer in self.layers]
        return values


def scale_of(height: int, width: int) -> float:
    """Return the scale of rain that looks right in a picture: 1 up to 500 px, 8 for a photograph of 4000 px."""
    return min(max(max(height, width) / 500.0, 1.0), SCALE[1])
