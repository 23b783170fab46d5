"""Search for images that two data sets share: the same file, or the same scene.

A scene is recognised by its clean image, or by the rainy one where a set has no clean images. The
comparison ignores rain, scale, mirroring, compression and grading, and finds crops that keep at
least 0.4 of the shorter side. It has two steps:

1. Candidates: the middle square of one image, reduced to 8 x 8 cells, against square windows of
   many sizes and places in the other.
2. Proof: the window is aligned and both are compared at 24 x 24 cells without their coarse
   structure, which skies and horizons of different scenes share.

Streaks are thinner than a cell, so rain adds little but a tint, and the correlations ignore a tint.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from hashlib import sha256
from io import StringIO
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from crdnet.data.detect import find_pairs
from crdnet.data.image_reader import read_rgb
from crdnet.data.listing import list_images
from crdnet.data.loading import Pair
from crdnet.data.tar_members import open_image_file
from crdnet.density import luma
from crdnet.errors import DataError
from crdnet.files import write_whole

_SHOWN_LEAKS = 10
SHORT_SIDE = 96
"""Shorter side of a sketch, in pixels."""
CELLS = 8
"""Side of the description of a candidate, in cells."""
PROOF_CELLS = 24
"""Side of the description for the proof, in cells."""
MIN_CANDIDATE = 0.83
"""Smallest correlation of a candidate."""
MIN_PROOF = 0.6
"""Smallest correlation of a proof."""
# Sides of the windows relative to the shorter side, 0.4 to 1.
_SCALES = tuple(0.4 * (2.5 ** (step / 8)) for step in range(9))
# Correlation of a first alignment below which a proof is given up.
_HOPELESS = 0.35
# Distance of neighbouring windows, relative to their side.
_STEP = 0.12
# Maximum number of windows of a pair of images that get a proof.
_CANDIDATES = 4
# Contrast in grey levels below which detail counts less, since it is mostly noise.
_FLOOR = 4.0
# Standard deviation of the detail, relative to its contrast, below which it proves nothing.
_MIN_DETAIL = 0.2
_BLOCK = 64

Planes = npt.NDArray[np.float32]
Progress = Callable[[Sequence["ImageEntry"]], Iterable["ImageEntry"]]


@dataclass(frozen=True, eq=False, slots=True)
class ImageEntry:
    """Image of a data set to compare.

    Attributes:
        name: Path below the data set.
        read: Function that reads the image that shows the scene, RGB (h, w, 3).
        files: Files of the image, whose bytes are compared.
    """

    name: str
    read: Callable[[], npt.NDArray[np.uint8]]
    files: tuple[Path, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Sketch:
    """Small image and descriptions of an image.

    Attributes:
        name: Name of the image.
        luma: Luma (h, w), shorter side `SHORT_SIDE`, in grey levels.
        middle: Descriptions (2, 64) of the middle square and of its mirror image.
        detail: Proof descriptions (2, 576) of the same; None if there is no detail.
        digests: SHA-256 of the files.
    """

    name: str
    luma: Planes
    middle: Planes
    detail: Planes | None
    digests: frozenset[str]


@dataclass(frozen=True, slots=True)
class Leak:
    """Two images of two sets that are the same file or show the same scene."""

    first_set: str
    first: str
    second_set: str
    second: str
    kind: str
    """`file` or `scene`."""


def list_entries(root: Path | str, layout: str = "auto") -> list[ImageEntry]:
    """Return the images of a data set, or of a folder of images without pairs.

    Raises:
        DataError: There are no images.
    """
    try:
        return make_entries(find_pairs(root, layout, problems=[]))
    except DataError:
        if not Path(root).is_dir():
            raise
    images = list_images(Path(root))
    if not images.images:
        raise DataError(f"{root}: holds no images; name the folder of a data set")
    return [make_entry(Path(root) / each, each.as_posix()) for each in images.images]


def make_entries(pairs: Iterable[Pair]) -> list[ImageEntry]:
    """Return the clean images of pairs, each once; their files include the rainy ones."""
    files: dict[tuple[Path, object], dict[Path, None]] = {}
    first: dict[tuple[Path, object], Pair] = {}
    for pair in pairs:
        key = (pair.clean_path, pair.halves)
        first.setdefault(key, pair)
        files.setdefault(key, {pair.clean_path: None})[pair.rainy_path] = None
    return [
        ImageEntry(pair.name, pair.load_clean, tuple(files[key])) for key, pair in first.items()
    ]


def make_entry(path: Path, name: str | None = None) -> ImageEntry:
    """Return the entry of an image file."""
    return ImageEntry(name or str(path), lambda: read_rgb(path), (path,))


def sketch_image(entry: ImageEntry) -> Sketch:
    """Read an image and describe it.

    Raises:
        DataError: The image cannot be read.
    """
    image = Image.fromarray(entry.read())
    factor = SHORT_SIDE / min(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    small = np.asarray(image.resize(size, Image.Resampling.BOX), dtype=np.float32)
    plane = luma(small).astype(np.float32)
    height, width = plane.shape
    box = ((width - SHORT_SIDE) / 2, (height - SHORT_SIDE) / 2)
    square = _resample(plane, (*box, box[0] + SHORT_SIDE, box[1] + SHORT_SIDE), PROOF_CELLS)
    coarse = square.reshape(CELLS, PROOF_CELLS // CELLS, CELLS, -1).mean((1, 3))
    middle = np.stack([_normalise(each)[0] for each in (coarse, coarse[:, ::-1])])
    described = [_normalise(_remove_coarse(each)) for each in (square, square[:, ::-1])]
    has_detail = described[0][1] >= _MIN_DETAIL
    detail = np.stack([each for each, _ in described]) if has_detail else None
    digests = frozenset(_digest(path) for path in entry.files)
    return Sketch(entry.name, plane, middle, detail, digests)


def find_leaks(sets: Mapping[str, Sequence[ImageEntry]], progress: Progress = iter) -> list[Leak]:
    """Return the images that each two of several data sets share.

    Args:
        sets: Images of each set by its name; see `list_entries`.
        progress: Wrapper that yields the entries and may show progress.

    Raises:
        DataError: An image cannot be read.
    """
    everything = [entry for entries in sets.values() for entry in entries]
    sketches = iter([sketch_image(entry) for entry in progress(everything)])
    sketched = {name: [next(sketches) for _ in entries] for name, entries in sets.items()}
    leaks = []
    for first, second in combinations(sets, 2):
        leaks += [
            Leak(first, sketched[first][i].name, second, sketched[second][j].name, kind)
            for i, j, kind in compare_sketches(sketched[first], sketched[second])
        ]
    return leaks


def compare_sketches(
    first: Sequence[Sketch], second: Sequence[Sketch]
) -> Iterator[tuple[int, int, str]]:
    """Yield the indices of each matching pair of sketches, and the kind: `file` or `scene`."""
    owners: dict[str, list[int]] = {}
    for index, sketch in enumerate(second):
        for digest in sketch.digests:
            owners.setdefault(digest, []).append(index)
    same = {(i, j) for i, one in enumerate(first) for d in one.digests for j in owners.get(d, ())}
    yield from ((i, j, "file") for i, j in sorted(same))
    found = _match_windows(first, second)
    found |= {(i, j) for j, i in _match_windows(second, first)}
    yield from ((i, j, "scene") for i, j in sorted(found - same))


def group_alike(entries: Sequence[ImageEntry], progress: Progress = iter) -> list[int]:
    """Return the number of the scene of each image of one set, from 0."""
    sketches = [sketch_image(entry) for entry in progress(entries)]
    parents = list(range(len(sketches)))

    def find_root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    for i, j, _ in compare_sketches(sketches, sketches):
        parents[max(find_root(i), find_root(j))] = min(find_root(i), find_root(j))
    roots = [find_root(index) for index in range(len(sketches))]
    numbers = {root: number for number, root in enumerate(dict.fromkeys(roots))}
    return [numbers[root] for root in roots]


def _match_windows(whole: Sequence[Sketch], parts: Sequence[Sketch]) -> set[tuple[int, int]]:
    """Return (whole, part) for each match of a part's middle with a window of a whole."""
    known = [index for index, sketch in enumerate(parts) if sketch.detail is not None]
    if not known:
        return set()
    middles = np.concatenate([parts[index].middle for index in known])
    found = set()
    for index, sketch in enumerate(whole):
        if sketch.detail is None:
            continue
        windows, boxes = _describe_windows(sketch.luma)
        # In blocks of parts, since all correlations of a large set would fill the memory.
        for start in range(0, len(known), _BLOCK):
            block = middles[2 * start : 2 * (start + _BLOCK)]
            correlations = windows @ block.T
            for column in np.flatnonzero(correlations.max(0) >= MIN_CANDIDATE):
                part = known[start + int(column) // 2]
                detail = parts[part].detail
                assert detail is not None
                best = np.argsort(correlations[:, column])[::-1][:_CANDIDATES]
                likely = [boxes[b] for b in best if correlations[b, column] >= MIN_CANDIDATE]
                if any(_prove(sketch.luma, box, detail[int(column) % 2]) for box in likely):
                    found.add((index, part))
    return found


def _describe_windows(plane: Planes) -> tuple[Planes, npt.NDArray[np.float64]]:
    """Return descriptions (n, 64) of square windows and their boxes (n, 4).

    A box is left, top, right, bottom.
    """
    sums = np.pad(plane.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = plane.shape
    descriptions, boxes = [], []
    for scale in _SCALES:
        side = scale * SHORT_SIDE
        tops, lefts = (_place(extent, side) for extent in (height, width))
        edges = np.arange(CELLS + 1) * side / CELLS
        rows, columns = (np.rint(each[:, None] + edges).astype(int) for each in (tops, lefts))
        corners = sums[rows[:, :, None, None], columns[None, None]]
        cells = np.diff(np.diff(corners, axis=1), axis=3)
        areas = np.diff(rows, axis=1)[:, :, None, None] * np.diff(columns, axis=1)
        means = (cells / areas).transpose(0, 2, 1, 3).reshape(-1, CELLS**2)
        descriptions.append(means)
        top, left = (each.ravel() for each in np.meshgrid(tops, lefts, indexing="ij"))
        boxes.append(np.stack([left, top, left + side, top + side], 1))
    means = np.concatenate(descriptions)
    means = means - means.mean(1, keepdims=True)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return (means / np.maximum(lengths, 1e-6)).astype(np.float32), np.concatenate(boxes)


def _place(extent: int, side: float) -> npt.NDArray[np.float64]:
    """Return the first pixels of windows of a side that cover an extent."""
    free = max(0.0, extent - side)
    return np.linspace(0, free, 1 + int(np.ceil(free / (_STEP * side))))


def _prove(plane: Planes, box: npt.NDArray[np.float64], detail: Planes) -> bool:
    """Return whether a window agrees with a description after a search for the best alignment."""
    left, top, right, bottom = box
    middle, side = np.array([(left + right) / 2, (top + bottom) / 2]), right - left
    best, place = -1.0, (*middle, side)
    # Each round searches around the best place of the one before, half as far.
    for reach in (0.06, 0.03, 0.015):
        x, y, width = place
        for factor in (1 - reach, 1.0, 1 + reach):
            for dx in (-reach, 0.0, reach):
                for dy in (-reach, 0.0, reach):
                    tried = (x + dx * width, y + dy * width, width * factor)
                    score = _correlate(plane, tried, detail)
                    if score > best:
                        best, place = score, tried
        if best >= MIN_PROOF:
            return True
        if best < _HOPELESS:
            return False
    return False


def _correlate(plane: Planes, place: tuple[float, float, float], detail: Planes) -> float:
    x, y, side = place
    height, width = plane.shape
    side = float(min(side, height, width))
    left, top = (
        float(min(max(0.0, middle - side / 2), extent - side))
        for middle, extent in ((x, width), (y, height))
    )
    square = _resample(plane, (left, top, left + side, top + side), PROOF_CELLS)
    described, _ = _normalise(_remove_coarse(square))
    return float(described @ detail)


def _resample(plane: Planes, box: tuple[float, float, float, float], cells: int) -> Planes:
    image = Image.fromarray(plane)
    right, bottom = min(box[2], image.width), min(box[3], image.height)
    resized = image.resize(
        (cells, cells),
        Image.Resampling.BOX,
        box=(max(0.0, box[0]), max(0.0, box[1]), right, bottom),
    )
    return np.asarray(resized, dtype=np.float32)


def _make_blur(cells: int, reach: int) -> Planes:
    """Return the matrix (cells, cells) that averages 2 * reach + 1 cells, mirrored at borders."""
    padded = np.pad(np.arange(cells), reach, mode="reflect")
    blur = np.zeros((cells, cells), dtype=np.float32)
    for row in range(cells):
        np.add.at(blur[row], padded[row : row + 2 * reach + 1], 1 / (2 * reach + 1))
    return blur


_BLUR = _make_blur(PROOF_CELLS, 3)


def _remove_coarse(square: Planes) -> Planes:
    """Return a square minus its local mean over 7 x 7 cells, divided by its local contrast.

    Without the division one strong edge, such as a horizon, would decide the correlation.
    """
    detail = square - _BLUR @ square @ _BLUR.T
    contrast = np.sqrt(_BLUR @ np.square(detail) @ _BLUR.T + _FLOOR**2)
    return np.asarray(detail / contrast, dtype=np.float32)


def _normalise(values: Planes) -> tuple[Planes, float]:
    """Return values as a vector of mean 0 and length 1, and their standard deviation."""
    flat = values.ravel() - values.mean()
    length = float(np.linalg.norm(flat))
    return (flat / max(length, 1e-6)).astype(np.float32), length / flat.size**0.5


def _digest(path: Path) -> str:
    opened = open_image_file(path)
    return sha256(opened.read_bytes() if isinstance(opened, Path) else opened.read()).hexdigest()


def write_leaks(leaks: Iterable[Leak], path: Path) -> None:
    """Write leaks as a CSV table, one line each."""
    text = StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([field.name for field in fields(Leak)])
    rows.writerows(astuple(leak) for leak in leaks)
    write_whole(path, text.getvalue().encode("utf-8", "surrogateescape"))


def count_leaks(
    leaks: Iterable[Leak], sets: Mapping[str, Sequence[ImageEntry]], pair: tuple[str, str]
) -> dict[str, object]:
    """Return the numbers of images of two sets, and of the images that they share, as JSON values.

    Args:
        leaks: Leaks of all sets.
        sets: Images by the name of their set.
        pair: The names of the two sets.
    """
    of_pair = [leak for leak in leaks if (leak.first_set, leak.second_set) == pair]
    first, second = pair
    return {
        "first": first,
        "second": second,
        "first_images": len(sets[first]),
        "second_images": len(sets[second]),
        "same_file": len({leak.second for leak in of_pair if leak.kind == "file"}),
        "shared_in_first": len({leak.first for leak in of_pair}),
        "shared_in_second": len({leak.second for leak in of_pair}),
    }


def format_leaks(counts: Sequence[Mapping[str, object]], leaks: Sequence[Leak]) -> str:
    """Format the counts of `count_leaks` and the first leaks as text."""
    lines = []
    for each in counts:
        lines.append(
            f"{each['first']} and {each['second']}: {each['shared_in_first']} of "
            f"{each['first_images']} images share scenes with {each['shared_in_second']} of "
            f"{each['second_images']}; {each['same_file']} are the same file"
        )
        of_pair = [
            leak
            for leak in leaks
            if (leak.first_set, leak.second_set) == (each["first"], each["second"])
        ]
        lines += [f"  {leak.kind}: {leak.first} = {leak.second}" for leak in of_pair[:_SHOWN_LEAKS]]
        if len(of_pair) > _SHOWN_LEAKS:
            lines.append(f"  and {len(of_pair) - _SHOWN_LEAKS} more; --csv writes all")
    return "\n".join(lines).encode("utf-8", "backslashreplace").decode("utf-8")
