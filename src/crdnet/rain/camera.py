"""Rain as a camera records it: drops of several sizes in front of a lens with a finite aperture.

Sources:

- Drop sizes: Marshall and Palmer, J. Meteorology 5, 1948.
- Terminal velocity: Atlas, Srivastava and Sekhon, Rev. Geophysics 11, 1973.
- Brightness of a moving drop: Garg and Nayar, IJCV 75, 2007.
- Veil: Koschmieder's law with the geometric extinction of the drops (efficiency 2).
"""

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from crdnet.errors import RecipeError
from crdnet.rain.compose import RgbImage
from crdnet.rain.drops import OPAQUE, Opacity, Streaks, decode_srgb, draw_streaks
from crdnet.rain.random_numbers import draw_shares

SMALLEST_DROP_MILLIMETRES = 0.5
LARGEST_DROP_MILLIMETRES = 6.0
FAINTEST_WIDTH_PIXELS = 0.25
"""Smallest width of a drawn drop in the frame; narrower drops belong to the veil."""
NEAREST_METRES = 0.15
"""Smallest distance of a drop from the lens."""
FRAME_MILLIMETRES = 36.0
"""Frame width of equivalent focal lengths."""
MOST_DROPS = 40_000
"""Largest number of drops in a frame; the farthest drops of heavier rain belong to the veil."""
_LAMP_LEVEL = 230
# Number of shells of distance, on a logarithmic scale.
_SHELLS = 24
# N0 of Marshall and Palmer, in drops per cubic metre and millimetre.
_INTERCEPT = 8000.0


@dataclass(frozen=True, slots=True)
class CameraRain:
    """Rain and the camera that records it.

    Attributes:
        millimetres_per_hour: Rain rate, 0.1 to 200; heavy rain has 10 to 50.
        exposure_seconds: Exposure time, 1/8000 to 1/2.
        focal_millimetres: Equivalent focal length for a frame 36 mm wide, 10 to 400; phones have
            26.
        aperture_millimetres: Diameter of the entrance pupil, 0 (all in focus) to 100; phones have
            3, a 50 mm lens at f/2 has 25.
        focus_metres: Distance in focus, 0.1 to 1000.
        wind_metres_per_second: Wind to the right, -30 to 30.
        turbulence: Largest deviation of a drop from the common direction, in degrees, 0 to 20.
        scene_metres: Distance of the background, which hides farther drops, 1 to 10,000.
        light: Linear light of the drops, red, green and blue in [0, 1]; None estimates it from the
            image (`estimate_drop_light`).
        visibility: Factor on the opacity of the drops, 0.1 to 10; 1 is physical.
        beads: Number of beads along a streak, 0 (even) to 20.
        splashes_per_megapixel: Number of short bright drops that jump up from the ground, in the
            lower part of the frame, 0 to 2000.
    """

    millimetres_per_hour: float = 25.0
    exposure_seconds: float = 1 / 120
    focal_millimetres: float = 26.0
    aperture_millimetres: float = 3.0
    focus_metres: float = 5.0
    wind_metres_per_second: float = 0.0
    turbulence: float = 1.5
    scene_metres: float = 30.0
    light: tuple[float, float, float] | None = None
    visibility: float = 1.0
    beads: float = 0.0
    splashes_per_megapixel: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise RecipeError(
                    f"{name} of camera rain lies in {low:g} to {high:g}, got {value:g}",
                )
        if self.light is not None and not (
            len(self.light) == 3 and all(0 <= each <= 1 for each in self.light)
        ):
            raise RecipeError(f"light of camera rain is three numbers in 0 to 1, got {self.light}")

    def as_dict(self) -> dict[str, object]:
        """Return the parameters as JSON values."""
        return {"kind": "CameraRain", **asdict(self)}


_LIMITS = {
    "millimetres_per_hour": (0.1, 200.0),
    "exposure_seconds": (1 / 8000, 0.5),
    "focal_millimetres": (10.0, 400.0),
    "aperture_millimetres": (0.0, 100.0),
    "focus_metres": (0.1, 1000.0),
    "wind_metres_per_second": (-30.0, 30.0),
    "turbulence": (0.0, 20.0),
    "scene_metres": (1.0, 10_000.0),
    "visibility": (0.1, 10.0),
    "beads": (0.0, 20.0),
    "splashes_per_megapixel": (0.0, 2000.0),
}


def compute_terminal_velocity(
    diameter_millimetres: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return the fall speed of drops in metres per second (Atlas et al., 1973)."""
    return np.asarray(9.65 - 10.3 * np.exp(-0.6 * diameter_millimetres))


def compute_size_slope(millimetres_per_hour: float) -> float:
    """Return the slope of Marshall and Palmer in 1/mm: N(D) = 8000 exp(-slope D) per m^3 and mm."""
    return float(4.1 * millimetres_per_hour**-0.21)


def count_drops_per_cubic_metre(millimetres_per_hour: float) -> float:
    """Return the number of drops per cubic metre above `SMALLEST_DROP_MILLIMETRES`."""
    slope = compute_size_slope(millimetres_per_hour)
    return float(_INTERCEPT / slope * np.exp(-slope * SMALLEST_DROP_MILLIMETRES))


def compute_extinction_per_metre(millimetres_per_hour: float) -> float:
    """Return the extinction coefficient of rain in 1/m.

    It is twice the geometric cross-section of the drops: the integral of N(D) pi D^2 / 2.
    """
    slope = compute_size_slope(millimetres_per_hour)
    return float(_INTERCEPT * np.pi / 2 * 2 / slope**3 * 1e-6)


def sample_camera_streaks(
    rain: CameraRain,
    height: int,
    width: int,
    rng: np.random.Generator,
    *,
    frame_width: int | None = None,
    most: int = MOST_DROPS,
) -> Streaks:
    """Sample the streaks of the drops in a frame, or in a crop of a frame.

    Args:
        rain: Rain and camera.
        height: Height in pixels.
        width: Width in pixels.
        rng: Generator; the same state gives the same streaks.
        frame_width: Width of the whole frame in pixels, for a crop; determines the focal length in
            pixels.
        most: Largest number of drops, nearest first; farther drops belong to the veil.
    """
    focal = rain.focal_millimetres / FRAME_MILLIMETRES * (frame_width or width)
    slope = compute_size_slope(rain.millimetres_per_hour)
    density = count_drops_per_cubic_metre(rain.millimetres_per_hour)
    # exp(-8) of the drops are larger, so the margin does not have to allow for them.
    largest = min(LARGEST_DROP_MILLIMETRES, SMALLEST_DROP_MILLIMETRES + 8 / slope)
    # Beyond this distance even the largest drop is too thin to draw.
    farthest = min(rain.scene_metres, focal * largest / 1000 / FAINTEST_WIDTH_PIXELS)
    edges = np.geomspace(NEAREST_METRES, max(farthest, 1.01 * NEAREST_METRES), _SHELLS + 1)
    fastest = float(
        np.hypot(compute_terminal_velocity(np.array(largest)), rain.wind_metres_per_second),
    )
    parts: list[Streaks] = []
    total = 0
    # Shell by shell, since near drops need a wide margin around the frame and far ones do not.
    for near, far in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        beyond = focal * (fastest * rain.exposure_seconds + largest / 1000) / near / 2
        blurred = _compute_defocus(rain, focal, np.array(near))
        margin = min(float(beyond + blurred), 20_000.0)
        area = (height + 2 * margin) * (width + 2 * margin)
        # Part of the viewing cone between two distances.
        volume = area * (far**3 - near**3) / 3 / focal**2
        # The bound keeps the argument of Poisson in range; `most` cuts off the rest below.
        number = int(rng.poisson(min(density * volume, 4.0 * MOST_DROPS)))
        number = min(number, most - total)
        # Uniform in volume, which grows with the cube of the distance.
        distance = np.cbrt(near**3 + (far**3 - near**3) * draw_shares(rng, number))
        # The sizes of Marshall and Palmer are exponentially distributed.
        diameter = SMALLEST_DROP_MILLIMETRES - np.log(1 - draw_shares(rng, number)) / slope
        diameter = np.minimum(diameter, LARGEST_DROP_MILLIMETRES)
        drawn = focal * diameter / 1000 / distance >= FAINTEST_WIDTH_PIXELS
        part = _project_drops(rain, focal, distance, diameter, margin, height, width, rng)
        part = part.select(drawn)
        parts.append(part)
        total += len(part)
        if total >= most:
            break
    # After the drops, so that splashes do not change the drops of a seed.
    parts.append(_sample_splashes(rain, focal, height, width, rng))
    return Streaks.join(parts)


def _project_drops(
    rain: CameraRain,
    focal: float,
    distance: npt.NDArray[np.float64],
    diameter: npt.NDArray[np.float64],
    margin: float,
    height: int,
    width: int,
    rng: np.random.Generator,
) -> Streaks:
    number = len(distance)
    fall = compute_terminal_velocity(diameter)
    speed = np.hypot(fall, rain.wind_metres_per_second)
    size = diameter / 1000
    # The difference of two uniform shares has a triangular density on [-1, 1].
    leaves = draw_shares(rng, number) - draw_shares(rng, number)
    angle = np.degrees(np.arctan2(rain.wind_metres_per_second, fall)) + rain.turbulence * leaves
    # A drop covers a pixel on its path for the time of falling its own length.
    opacity = np.minimum(1.0, size / (speed * rain.exposure_seconds))
    return Streaks(
        row=draw_shares(rng, number) * (height + 2 * margin) - margin,
        column=draw_shares(rng, number) * (width + 2 * margin) - margin,
        length=focal * (speed * rain.exposure_seconds + size) / distance,
        width=focal * size / distance,
        angle_degrees=angle,
        opacity=np.minimum(1.0, rain.visibility * opacity),
        blur=_compute_defocus(rain, focal, distance),
        beads=np.full(number, rain.beads),
        taper=np.zeros(number),
    )


def _compute_defocus(
    rain: CameraRain, focal: float, distance: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the diameter of the circle of confusion at a distance, in pixels."""
    aperture = rain.aperture_millimetres / 1000
    return np.asarray(aperture * focal * np.abs(1 / distance - 1 / rain.focus_metres))


def _sample_splashes(
    rain: CameraRain, focal: float, height: int, width: int, rng: np.random.Generator
) -> Streaks:
    """Sample short bright drops near the ground, in the lower 40 % of the frame."""
    number = int(rng.poisson(rain.splashes_per_megapixel * 0.4 * height * width / 1e6))
    size = focal * 0.0015 / (1.0 + 4.0 * draw_shares(rng, number))
    return Streaks(
        row=height * (0.6 + 0.4 * draw_shares(rng, number)),
        column=width * draw_shares(rng, number),
        length=size * (1 + 4 * draw_shares(rng, number)),
        width=size,
        angle_degrees=180 * draw_shares(rng, number) - 90,
        opacity=0.15 + 0.6 * draw_shares(rng, number),
        blur=np.zeros(number),
        beads=np.zeros(number),
        taper=np.zeros(number),
    )


def draw_camera_opacity(
    rain: CameraRain,
    height: int,
    width: int,
    rng: np.random.Generator,
    *,
    frame_width: int | None = None,
) -> Opacity:
    """Draw the opacity (h, w) of camera rain; see `sample_camera_streaks` for the arguments."""
    streaks = sample_camera_streaks(rain, height, width, rng, frame_width=frame_width)
    return draw_streaks(streaks, height, width)


def compute_camera_veil(rain: CameraRain, height: int, width: int) -> Opacity:
    """Return the share of scattered light (h, w), which grows with the distance of the ground.

    The ground is a plane below the camera that reaches `scene_metres` at the middle row. All rows
    above have that distance.
    """
    rows = (np.arange(height) + 0.5) / height
    distance = np.minimum(rain.scene_metres, 1.5 / np.maximum(rows - 0.5, 1e-6))
    share = 1 - np.exp(-compute_extinction_per_metre(rain.millimetres_per_hour) * distance)
    # Rounded, since exp() differs in its last bits between machines.
    column = np.rint(OPAQUE * np.rint(4096 * share) / 4096).astype(np.uint16)
    return np.broadcast_to(column[:, np.newaxis], (height, width))


def estimate_drop_light(rain: CameraRain, clean: RgbImage) -> npt.NDArray[np.uint16]:
    """Return the light of drops in front of a scene (h, w, 3), in linear 65535ths."""
    if rain.light is None:
        return _estimate_scene_light(clean)
    light = np.rint(OPAQUE * np.asarray(rain.light)).astype(np.uint16)
    return np.broadcast_to(light, clean.shape)


def _estimate_scene_light(clean: RgbImage) -> npt.NDArray[np.uint16]:
    """Estimate the light that drops gather from a scene (h, w, 3), in linear 65535ths.

    A drop refracts light from a field of some 165 degrees, mainly from the sky (Garg and Nayar,
    2007). By day, the light is the brightest tenth of the upper third of the image, at least a
    fifth of white. At night, lamps light the drops around them: the light is the highlights of the
    image, blurred over a tenth of its side.
    """
    height, width = clean.shape[:2]
    linear = decode_srgb(clean)
    # The sky is above; lamps and bright ground below would mislead.
    upper = linear[: max(1, height // 3)].reshape(-1, 3)
    brightness = upper.astype(np.int64).sum(1)
    brightest = upper[brightness >= np.sort(brightness)[-max(1, len(brightness) // 10)]]
    sky = brightest.astype(np.int64).sum(0) // len(brightest)
    is_night = int(np.median(linear)) < OPAQUE // 50
    # A floor, since drops stay visible in front of a dark scene.
    sky = np.maximum(sky, OPAQUE // (50 if is_night else 5))
    if not is_night:
        return np.broadcast_to(sky.astype(np.uint16), clean.shape)
    lamps = np.where(clean.max(axis=2, keepdims=True) >= _LAMP_LEVEL, clean, 0).astype(np.uint8)
    radius = max(height, width) / 10
    glow = np.asarray(Image.fromarray(lamps).filter(ImageFilter.GaussianBlur(radius)))
    lit = 16 * decode_srgb(glow).astype(np.int64)  # highlights are small and far above white
    light: npt.NDArray[np.uint16] = np.minimum(sky // 4 + lit, OPAQUE).astype(np.uint16)
    return light
