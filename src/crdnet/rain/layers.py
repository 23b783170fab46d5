"""Streak layers: the light of rain alone, on black.

A layer is uint8 (h, w). It is the same on every machine: random numbers are drawn as integers, light adds up
in integers, sines are rounded to 16 bits before use, and what remains in floating point are single operations
that IEEE 754 defines to the last bit. Nothing depends on the order of a sum.
"""

from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from crdnet.errors import DataError, RecipeError
from crdnet.rain.spec import LineStreaks, NoiseStreaks, PhotorealStreaks, RainSpec, StreakKind

Layer = npt.NDArray[np.uint8]
"""Light of streaks (h, w)."""
Numbers = npt.NDArray[np.float64]

_FIXED_BITS = 16
_ELEMENTS_AT_ONCE = 1 << 19
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}


class StreakLibrary:
    """Photorealistic streak pictures, grey on black.

    Attributes:
        names: Names of the files, in the order in which rain chooses among them.
    """

    def __init__(self, names: tuple[str, ...], pictures: tuple[Layer, ...]) -> None:
        if not pictures or len(names) != len(pictures):
            raise RecipeError("a library of streaks needs at least one picture, and a name for each")
        self.names = names
        self.pictures = pictures

    @property
    def digest(self) -> str:
        """A short hash of the pictures in their order: rain of two libraries is the same only if this is."""
        digest = sha256()
        for picture in self.pictures:
            digest.update(f"{picture.shape}".encode() + picture.tobytes())
        return digest.hexdigest()[:16]

    @classmethod
    def read(cls, folder: str | Path) -> "StreakLibrary":
        """Read every picture of a folder as grey levels.

        Raises:
            DataError: There is no such folder, it holds no pictures, or one cannot be read.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such folder; name one that holds streaks on black")
        paths = sorted(path for path in folder.iterdir() if _is_picture(path))
        if not paths:
            raise DataError(f"{folder}: holds no pictures; name a folder that holds streaks on black")
        return cls(tuple(path.name for path in paths), tuple(_read_grey(path) for path in paths))


def render(
    spec: RainSpec, height: int, width: int, rng: np.random.Generator, library: StreakLibrary | None = None
) -> Layer:
    """Draw the streaks of a spec, at gain 1.

    Args:
        spec: What to draw.
        height: Pixels of the layer.
        width: Pixels of the layer.
        rng: Where the streaks lie; the same state gives the same layer.
        library: Where `PhotorealStreaks` come from.
    """
    layer = np.zeros((height, width), np.uint8)
    for streaks in spec.layers:
        layer = add_light(layer, _draw(streaks, height, width, spec.scale, rng, library))
    if spec.blur_pixels > 0:
        blurred = Image.fromarray(layer).filter(ImageFilter.GaussianBlur(spec.blur_pixels * spec.scale))
        layer = np.asarray(blurred, dtype=np.uint8)
    return layer


def add_light(first: Layer, second: Layer) -> Layer:
    """Return the sum of two layers, clipped."""
    # Where the sum passes 255 it wraps around and becomes smaller than either.
    total = first + second
    return np.where(total < first, np.uint8(255), total)


def amplify(layer: Layer, gain: float) -> Layer:
    """Return a layer whose light is multiplied, clipped; the gain is rounded to 1/256."""
    factor = round(gain * 256)
    if factor == 256:
        return layer
    table = np.minimum((np.arange(256) * factor + 128) >> 8, 255).astype(np.uint8)
    amplified: Layer = table[layer]
    return amplified


def _draw(
    streaks: StreakKind,
    height: int,
    width: int,
    scale: float,
    rng: np.random.Generator,
    library: StreakLibrary | None,
) -> Layer:
    match streaks:
        case LineStreaks():
            return draw_lines(streaks, height, width, scale, rng)
        case NoiseStreaks():
            return draw_noise(streaks, height, width, scale, rng)
        case PhotorealStreaks():
            if library is None:
                raise RecipeError("photorealistic streaks need a library: StreakLibrary.read(folder)")
            return draw_photoreal(streaks, height, width, scale, rng, library)


def draw_lines(
    streaks: LineStreaks, height: int, width: int, scale: float, rng: np.random.Generator
) -> Layer:
    """Draw antialiased lines, those that begin or end outside the picture included."""
    margin = streaks.length * scale / 2
    area = (height + 2 * margin) * (width + 2 * margin)
    number = int(streaks.per_megapixel * area / (1e6 * scale * scale) + _shares(rng, 1)[0])
    row = _shares(rng, number) * (height + 2 * margin) - margin
    column = _shares(rng, number) * (width + 2 * margin) - margin
    length = streaks.length * scale * (1 - streaks.variation * _shares(rng, number))
    across = streaks.width * scale * (1 - streaks.variation * _shares(rng, number))
    light = 255 * streaks.brightness * (1 - streaks.variation * _shares(rng, number))
    # The difference of two even shares peaks in the middle and ends at one.
    leaves = _shares(rng, number) - _shares(rng, number)
    angle = np.radians(streaks.angle_degrees + streaks.angle_spread_degrees * leaves)
    down, right = _rounded(np.cos(angle)), _rounded(np.sin(angle))

    total = np.zeros((height, width), np.int32)
    steep = np.abs(right) <= np.abs(down)
    _add_lines(
        total,
        *(each[steep] for each in (row, column, down, right, length, across, light)),
        sharpness=streaks.sharpness,
    )
    # Flat lines are steep ones of the transposed picture; `total.T` is a view.
    _add_lines(
        total.T,
        *(each[~steep] for each in (column, row, right, down, length, across, light)),
        sharpness=streaks.sharpness,
    )
    return np.minimum(total, 255).astype(np.uint8)


def _add_lines(
    total: npt.NDArray[np.int32],
    row: Numbers,
    column: Numbers,
    down: Numbers,
    right: Numbers,
    length: Numbers,
    across: Numbers,
    light: Numbers,
    *,
    sharpness: float,
) -> None:
    """Add lines that run at most 45 degrees from the columns: each row of a line is one short run of pixels."""
    height, width = total.shape
    right, down = right * np.sign(down), np.abs(down)
    edge = 1 + (1 - sharpness) * across
    fade = 1 + (1 - sharpness) * length / 2
    reach = length / 2 * down + (across + edge) / 2 * np.abs(right) + 1
    first = np.maximum(np.ceil(row - reach), 0).astype(np.int64)
    last = np.minimum(np.floor(row + reach), height - 1).astype(np.int64)
    half_run = (across + edge) / 2 / down
    run = (2 * np.ceil(half_run) + 1).astype(np.int64)

    order = np.argsort(run, kind="stable")
    order = order[last[order] >= first[order]]
    cost = np.cumsum((last - first + 1)[order] * run[order])
    for lines in np.split(order, np.flatnonzero(np.diff(cost // _ELEMENTS_AT_ONCE)) + 1):
        if not len(lines):
            continue
        rows = (last - first + 1)[lines]
        line = np.repeat(lines, rows)
        y = np.arange(len(line)) - np.repeat(np.cumsum(rows) - rows, rows) + first[line]
        below = y - row[line]
        axis = column[line] + below * right[line] / down[line]
        x = np.ceil(axis - half_run[line]).astype(np.int64)[:, np.newaxis] + np.arange(run[lines].max())
        beside = x - axis[:, np.newaxis]

        def of_line(values: Numbers, line: npt.NDArray[np.int64] = line) -> Numbers:
            return values[line][:, np.newaxis]

        from_axis = np.abs(beside) * of_line(down)
        from_middle = np.abs((below / down[line])[:, np.newaxis] + beside * of_line(right))
        cover = _smooth((of_line((across + edge) / 2) - from_axis) / of_line(edge))
        cover *= _smooth((of_line(length / 2) + 0.5 - from_middle) / of_line(fade))
        # Thinner than a pixel is fainter.
        levels = np.rint(cover * of_line(light * np.minimum(across, 1.0))).astype(np.int32)
        inside = (x >= 0) & (x < width) & (levels > 0)
        rows_of = np.broadcast_to(y[:, np.newaxis], x.shape)
        np.add.at(total, (rows_of[inside], x[inside]), levels[inside])


def draw_noise(
    streaks: NoiseStreaks, height: int, width: int, scale: float, rng: np.random.Generator
) -> Layer:
    """Draw noise, blurred along the fall and pushed through levels."""
    rows, columns = int(np.ceil(height / scale)), int(np.ceil(width / (scale * streaks.width)))
    slant = np.radians(streaks.angle_degrees)
    # The noise is blurred straight down and sheared afterwards: sheared white noise is white noise.
    drift = float(_rounded(np.tan(slant))) / streaks.width
    shift = -drift * np.arange(rows)
    shift -= shift.min(initial=0.0)
    first_box = max(1, int(streaks.length) // 2)
    second_box = max(1, int(streaks.length) - first_box)
    noise = rng.integers(
        0,
        256,
        (rows + first_box + second_box - 2, columns + int(np.ceil(shift.max(initial=0.0))) + 1),
        dtype=np.uint8,
    )
    blurred = _box(_box(noise.astype(np.int64), first_box), second_box)

    weights = np.convolve(np.ones(first_box), np.ones(second_box))
    middle = 127.5 * float(weights.sum())
    deviation = 73.9 * float(np.sqrt((weights * weights).sum()))
    black = middle + (1.9 - 2.4 * streaks.level) * deviation
    passed = np.clip((blurred - black) / (2.5 * deviation), 0.0, 1.0)
    levels = np.rint(255 * streaks.brightness * passed).astype(np.int64)

    whole = np.floor(shift).astype(np.int64)
    part = np.rint(256 * (shift - whole)).astype(np.int64)[:, np.newaxis]
    left = whole[:, np.newaxis] + np.arange(columns)
    left = np.minimum(left, levels.shape[1] - 2) if levels.shape[1] > 1 else left
    row = np.arange(rows)[:, np.newaxis]
    sheared = (levels[row, left] * (256 - part) + levels[row, left + 1] * part + 128) >> 8
    return _resized(sheared.astype(np.uint8), height, width)


def draw_photoreal(
    streaks: PhotorealStreaks,
    height: int,
    width: int,
    scale: float,
    rng: np.random.Generator,
    library: StreakLibrary,
) -> Layer:
    """Mix transformed streak pictures; they repeat where the layer is larger than they are."""
    rows, columns = int(np.ceil(height / scale)), int(np.ceil(width / scale))
    total = np.zeros((rows, columns), np.int64)
    number = len(library.pictures)
    first, mirrored = int(rng.integers(number)), int(rng.integers(2))
    for chain in range(streaks.chains):
        # Neighbours by name are often of one kind and fall one way; half of the mixes are of neighbours.
        near, far = first + int(rng.integers(-2, 3)), int(rng.integers(number))
        among_neighbours = int(rng.integers(2))
        chosen = first if chain == 0 else near % number if among_neighbours else far
        picture = library.pictures[chosen][:, ::-1] if mirrored else library.pictures[chosen]
        turn = np.radians(streaks.rotation_degrees * _between(rng, -1.0, 1.0))
        shear = streaks.shear * _between(rng, -1.0, 1.0)
        zoom = _between(rng, 1.0, streaks.zoom)
        down, right = int(rng.integers(picture.shape[0])), int(rng.integers(picture.shape[1]))
        cosine, sine = float(_rounded(np.cos(turn))), float(_rounded(np.sin(turn)))
        matrix = np.array([[cosine, sine], [shear * cosine - sine, shear * sine + cosine]]) / zoom
        share = int(rng.integers(96, 257))
        total += share * _warp(picture, matrix, (down, right), rows, columns)
    total = np.minimum((total * round(256 * streaks.brightness)) >> 16, 255)
    return _resized(total.astype(np.uint8), height, width)


def _warp(
    picture: Layer, matrix: Numbers, shift: tuple[int, int], rows: int, columns: int
) -> npt.NDArray[np.int64]:
    """Sample a picture bilinearly at matrix @ (row, column) + shift, repeating it, in 16-bit fixed point.

    Pillow's transform computes in floating point that a compiler may fuse, and then truncates: one unit in the
    last place can become a grey level on another machine.
    """
    fixed = np.rint(matrix * (1 << _FIXED_BITS)).astype(np.int64)
    row, column = np.arange(rows)[:, np.newaxis], np.arange(columns)
    source_row = fixed[0, 0] * row + fixed[0, 1] * column
    source_column = fixed[1, 0] * row + fixed[1, 1] * column
    top, left = (source_row >> _FIXED_BITS) + shift[0], (source_column >> _FIXED_BITS) + shift[1]
    below, beside = (source_row >> 8) & 255, (source_column >> 8) & 255
    height, width = picture.shape
    rows_at = (top % height, (top + 1) % height)
    columns_at = (left % width, (left + 1) % width)
    wide = picture.astype(np.int64)
    upper = wide[rows_at[0], columns_at[0]] * (256 - beside) + wide[rows_at[0], columns_at[1]] * beside
    lower = wide[rows_at[1], columns_at[0]] * (256 - beside) + wide[rows_at[1], columns_at[1]] * beside
    sampled: npt.NDArray[np.int64] = (upper * (256 - below) + lower * below + (1 << 15)) >> 16
    return sampled


def _box(values: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    """Return the sums of `size` neighbours down the columns, in integers."""
    sums = np.cumsum(np.pad(values, ((1, 0), (0, 0))), axis=0)
    return sums[size:] - sums[:-size]


def _resized(layer: Layer, height: int, width: int) -> Layer:
    if layer.shape == (height, width):
        return layer
    resized = Image.fromarray(layer).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized, dtype=np.uint8)


def _smooth(share: Numbers) -> Numbers:
    clipped = np.clip(share, 0.0, 1.0)
    return clipped * clipped * (3 - 2 * clipped)


def _rounded(values: npt.ArrayLike) -> Numbers:
    """Round to 16 bits: sines differ in their last bits between machines."""
    one = float(1 << _FIXED_BITS)
    return np.asarray(np.rint(np.asarray(values, np.float64) * one) / one)


def _shares(rng: np.random.Generator, number: int) -> Numbers:
    return rng.integers(0, 1 << 16, number) / float(1 << 16)


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * (int(rng.integers(0, 4097)) / 4096)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")


def _read_grey(path: Path) -> Layer:
    try:
        with Image.open(path) as picture:
            return np.array(picture.convert("L"), dtype=np.uint8)
    except Exception as error:  # Pillow's decoders raise whatever a broken file makes them stumble over.
        raise DataError(f"{path}: cannot be read as a picture of streaks: {error}") from error
