"""Streak layers: light of rain on black.

A layer is uint8 (h, w) and the same on every machine. Random numbers are drawn as integers, light
is added in integers, and sines are rounded to 16 bits. The remaining floating-point operations are
single operations that IEEE 754 defines to the last bit. Nothing depends on the order of a sum.
"""

from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from crdnet.errors import DataError, RecipeError
from crdnet.rain.random_numbers import draw_between, draw_shares, round_to_16_bits
from crdnet.rain.spec import LineStreaks, NoiseStreaks, PhotorealStreaks, RainSpec, StreakKind

Layer = npt.NDArray[np.uint8]
"""Light of streaks (h, w), 0 to 255."""
Numbers = npt.NDArray[np.float64]

_FIXED_BITS = 16
_ELEMENTS_AT_ONCE = 1 << 19
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}


class StreakLibrary:
    """Photorealistic streak images, grey on black.

    Attributes:
        names: Names of the files; their order affects the rain of a seed.
        images: Grey levels (h, w) of each file.
    """

    def __init__(self, names: tuple[str, ...], images: tuple[Layer, ...]) -> None:
        if not images or len(names) != len(images):
            raise RecipeError("a library of streaks needs at least one image, and a name for each")
        self.names = names
        self.images = images

    @property
    def digest(self) -> str:
        """Short hash of the images in their order; equal digests give equal rain."""
        digest = sha256()
        for image in self.images:
            digest.update(f"{image.shape}".encode() + image.tobytes())
        return digest.hexdigest()[:16]

    @classmethod
    def read(cls, folder: str | Path) -> "StreakLibrary":
        """Read all images of a folder as grey levels.

        Raises:
            DataError: The folder does not exist, holds no images, or an image cannot be read.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise DataError(
                f"{folder}: there is no such folder; name one that holds streaks on black",
            )
        # Sorted, since the order of files differs between file systems.
        paths = sorted(path for path in folder.iterdir() if _is_image(path))
        if not paths:
            raise DataError(f"{folder}: holds no images; name a folder that holds streaks on black")
        return cls(tuple(path.name for path in paths), tuple(_read_grey(path) for path in paths))


def render(
    spec: RainSpec,
    height: int,
    width: int,
    rng: np.random.Generator,
    library: StreakLibrary | None = None,
) -> Layer:
    """Draw the streaks of a spec at gain 1.

    Args:
        spec: Rain to draw.
        height: Height of the layer, in pixels.
        width: Width of the layer, in pixels.
        rng: Generator; the same state gives the same layer.
        library: Source of `PhotorealStreaks`.

    Raises:
        RecipeError: The spec has `PhotorealStreaks` and there is no library.
    """
    layer = np.zeros((height, width), np.uint8)
    for streaks in spec.layers:
        layer = add_light(layer, _draw(streaks, height, width, spec.scale, rng, library))
    if spec.blur_pixels > 0:
        blurred = Image.fromarray(layer).filter(
            ImageFilter.GaussianBlur(spec.blur_pixels * spec.scale),
        )
        layer = np.asarray(blurred, dtype=np.uint8)
    return layer


def add_light(first: Layer, second: Layer) -> Layer:
    """Add two layers and clip."""
    # A sum above 255 wraps around and becomes smaller than either.
    total = first + second
    return np.where(total < first, np.uint8(255), total)


def amplify(layer: Layer, gain: float) -> Layer:
    """Multiply a layer by a gain, rounded to 1/256, and clip."""
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
                raise RecipeError(
                    "photorealistic streaks need a library: StreakLibrary.read(folder)",
                )
            return draw_photoreal(streaks, height, width, scale, rng, library)


def draw_lines(
    streaks: LineStreaks, height: int, width: int, scale: float, rng: np.random.Generator
) -> Layer:
    """Draw antialiased lines, including those that begin or end outside the image."""
    margin = streaks.length * scale / 2
    area = (height + 2 * margin) * (width + 2 * margin)
    # A random share decides about the fraction of a streak, so that small layers are not always
    # dry.
    number = int(streaks.per_megapixel * area / (1e6 * scale * scale) + draw_shares(rng, 1)[0])
    row = draw_shares(rng, number) * (height + 2 * margin) - margin
    column = draw_shares(rng, number) * (width + 2 * margin) - margin
    length = streaks.length * scale * (1 - streaks.variation * draw_shares(rng, number))
    across = streaks.width * scale * (1 - streaks.variation * draw_shares(rng, number))
    # Variation only reduces, so that `length`, `width` and `brightness` are upper bounds.
    light = 255 * streaks.brightness * (1 - streaks.variation * draw_shares(rng, number))
    # The difference of two uniform shares has a triangular density on [-1, 1].
    leaves = draw_shares(rng, number) - draw_shares(rng, number)
    angle = np.radians(streaks.angle_degrees + streaks.angle_spread_degrees * leaves)
    down, right = round_to_16_bits(np.cos(angle)), round_to_16_bits(np.sin(angle))

    total = np.zeros((height, width), np.int32)
    steep = np.abs(right) <= np.abs(down)
    _add_lines(
        total,
        *(each[steep] for each in (row, column, down, right, length, across, light)),
        sharpness=streaks.sharpness,
    )
    # Flat lines are steep in the transposed image; `total.T` is a view.
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
    """Add lines at most 45 degrees from the columns, each row as a short run of pixels."""
    height, width = total.shape
    # A line has no direction, so all of them may run downwards.
    right, down = right * np.sign(down), np.abs(down)
    # At least one pixel, for antialiasing.
    edge = 1 + (1 - sharpness) * across
    fade = 1 + (1 - sharpness) * length / 2
    reach = length / 2 * down + (across + edge) / 2 * np.abs(right) + 1
    first = np.maximum(np.ceil(row - reach), 0).astype(np.int64)
    last = np.minimum(np.floor(row + reach), height - 1).astype(np.int64)
    half_run = (across + edge) / 2 / down
    run = (2 * np.ceil(half_run) + 1).astype(np.int64)

    # Groups of similar run length waste little memory in their common rectangle.
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
        x = np.ceil(axis - half_run[line]).astype(np.int64)[:, np.newaxis]
        x = x + np.arange(run[lines].max())
        beside = x - axis[:, np.newaxis]

        def take_lines(values: Numbers, line: npt.NDArray[np.int64] = line) -> Numbers:
            return values[line][:, np.newaxis]

        from_axis = np.abs(beside) * take_lines(down)
        from_middle = np.abs((below / down[line])[:, np.newaxis] + beside * take_lines(right))
        cover = _smooth((take_lines((across + edge) / 2) - from_axis) / take_lines(edge))
        cover *= _smooth((take_lines(length / 2) + 0.5 - from_middle) / take_lines(fade))
        # A line thinner than a pixel covers a part of it, and is fainter.
        levels = np.rint(cover * take_lines(light * np.minimum(across, 1.0))).astype(np.int32)
        inside = (x >= 0) & (x < width) & (levels > 0)
        rows_of = np.broadcast_to(y[:, np.newaxis], x.shape)
        np.add.at(total, (rows_of[inside], x[inside]), levels[inside])


def draw_noise(
    streaks: NoiseStreaks, height: int, width: int, scale: float, rng: np.random.Generator
) -> Layer:
    """Draw noise that is blurred along the fall and thresholded by levels."""
    rows, columns = int(np.ceil(height / scale)), int(np.ceil(width / (scale * streaks.width)))
    slant = np.radians(streaks.angle_degrees)
    # Blurred straight down and sheared afterwards, which is simpler: white noise stays white under
    # shear.
    drift = float(round_to_16_bits(np.tan(slant))) / streaks.width
    shift = -drift * np.arange(rows)
    shift -= shift.min(initial=0.0)
    first_box = max(1, int(streaks.length) // 2)
    second_box = max(1, int(streaks.length) - first_box)
    # Larger than the layer by the boxes and the shear, so that no border is repeated.
    noise = rng.integers(
        0,
        256,
        (rows + first_box + second_box - 2, columns + int(np.ceil(shift.max(initial=0.0))) + 1),
        dtype=np.uint8,
    )
    # Two boxes make a triangle, without the hard ends of a single box.
    blurred = _sum_box(_sum_box(noise.astype(np.int64), first_box), second_box)

    weights = np.convolve(np.ones(first_box), np.ones(second_box))
    # 127.5 and 73.9 are mean and standard deviation of integers from 0 to 255.
    middle = 127.5 * float(weights.sum())
    deviation = 73.9 * float(np.sqrt((weights * weights).sum()))
    black = middle + (1.9 - 2.4 * streaks.level) * deviation
    passed = np.clip((blurred - black) / (2.5 * deviation), 0.0, 1.0)
    levels = np.rint(255 * streaks.brightness * passed).astype(np.int64)

    # The shift is interpolated in 256ths of a pixel, or rows would jump.
    whole = np.floor(shift).astype(np.int64)
    part = np.rint(256 * (shift - whole)).astype(np.int64)[:, np.newaxis]
    left = whole[:, np.newaxis] + np.arange(columns)
    left = np.minimum(left, levels.shape[1] - 2) if levels.shape[1] > 1 else left
    row = np.arange(rows)[:, np.newaxis]
    sheared = (levels[row, left] * (256 - part) + levels[row, left + 1] * part + 128) >> 8
    return _resize(sheared.astype(np.uint8), height, width)


def draw_photoreal(
    streaks: PhotorealStreaks,
    height: int,
    width: int,
    scale: float,
    rng: np.random.Generator,
    library: StreakLibrary,
) -> Layer:
    """Mix transformed streak images, which repeat if the layer is larger."""
    rows, columns = int(np.ceil(height / scale)), int(np.ceil(width / scale))
    total = np.zeros((rows, columns), np.int64)
    number = len(library.images)
    # One decision for all images of the mix, since rain falls one way.
    first, mirrored = int(rng.integers(number)), int(rng.integers(2))
    for chain in range(streaks.chains):
        # Neighbours by name often have one kind and direction, so half of the mixes use neighbours.
        near, far = first + int(rng.integers(-2, 3)), int(rng.integers(number))
        among_neighbours = int(rng.integers(2))
        chosen = first if chain == 0 else near % number if among_neighbours else far
        image = library.images[chosen][:, ::-1] if mirrored else library.images[chosen]
        turn = np.radians(streaks.rotation_degrees * draw_between(rng, -1.0, 1.0))
        shear = streaks.shear * draw_between(rng, -1.0, 1.0)
        zoom = draw_between(rng, 1.0, streaks.zoom)
        down, right = int(rng.integers(image.shape[0])), int(rng.integers(image.shape[1]))
        cosine, sine = float(round_to_16_bits(np.cos(turn))), float(round_to_16_bits(np.sin(turn)))
        # The inverse mapping, from layer to source, so every pixel of the layer gets a value.
        matrix = np.array([[cosine, sine], [shear * cosine - sine, shear * sine + cosine]]) / zoom
        # Every image of the mix contributes at least 96/256, else it would not be visible.
        share = int(rng.integers(96, 257))
        total += share * _warp(image, matrix, (down, right), rows, columns)
    total = np.minimum((total * round(256 * streaks.brightness)) >> 16, 255)
    return _resize(total.astype(np.uint8), height, width)


def _warp(
    image: Layer, matrix: Numbers, shift: tuple[int, int], rows: int, columns: int
) -> npt.NDArray[np.int64]:
    """Sample a repeated image bilinearly at matrix @ (row, column) + shift, in 16-bit fixed point.

    The transform of Pillow uses floating point that a compiler may fuse, and truncates. One unit in
    the last place could then become a grey level on another machine.
    """
    fixed = np.rint(matrix * (1 << _FIXED_BITS)).astype(np.int64)
    row, column = np.arange(rows)[:, np.newaxis], np.arange(columns)
    source_row = fixed[0, 0] * row + fixed[0, 1] * column
    source_column = fixed[1, 0] * row + fixed[1, 1] * column
    top, left = (source_row >> _FIXED_BITS) + shift[0], (source_column >> _FIXED_BITS) + shift[1]
    below, beside = (source_row >> 8) & 255, (source_column >> 8) & 255
    height, width = image.shape
    rows_at = (top % height, (top + 1) % height)
    columns_at = (left % width, (left + 1) % width)
    wide = image.astype(np.int64)
    left_at, right_at = columns_at
    other = 256 - beside
    upper, lower = (wide[at, left_at] * other + wide[at, right_at] * beside for at in rows_at)
    sampled: npt.NDArray[np.int64] = (upper * (256 - below) + lower * below + (1 << 15)) >> 16
    return sampled


def _sum_box(values: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    """Return the sums of `size` neighbours along the columns, in integers."""
    sums = np.cumsum(np.pad(values, ((1, 0), (0, 0))), axis=0)
    return sums[size:] - sums[:-size]


def _resize(layer: Layer, height: int, width: int) -> Layer:
    if layer.shape == (height, width):
        return layer
    resized = Image.fromarray(layer).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized, dtype=np.uint8)


def _smooth(share: Numbers) -> Numbers:
    clipped = np.clip(share, 0.0, 1.0)
    return clipped * clipped * (3 - 2 * clipped)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")


def _read_grey(path: Path) -> Layer:
    try:
        with Image.open(path) as image:
            return np.array(image.convert("L"), dtype=np.uint8)
    except Exception as error:  # Pillow's decoders raise any class of error on broken files.
        raise DataError(f"{path}: cannot be read as an image of streaks: {error}") from error
