"""Dry sequences of frames, and drawn rain with different drops in every frame.

Half of the sequences show a still image through a camera that shakes, pans or drives, with moving
objects and shadows. The others are parts of clips, half of them with such a camera added.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from crdnet import RainDensity
from crdnet.rain import (
    StreakLibrary,
    amplify,
    compose,
    compose_drops,
    draw_streaks,
    estimate_drop_light,
    make_rainy_pair,
    render,
    sample_camera,
    sample_camera_streaks,
    sample_spec,
    sample_streaks,
    sample_target,
)
from crdnet.rain.synthesis import draw_to_target

Frame = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]
HEIGHT, WIDTH, FRAMES = 288, 352, 7
_MARGIN = 48


def draw_scene(
    rng: np.random.Generator, files: Sequence[Path], films: Sequence[npt.NDArray[np.uint8]]
) -> list[Frame]:
    """Return the dry frames of a sequence."""
    if rng.random() < 0.5:
        film = films[int(rng.integers(len(films)))]
        step = int(rng.choice([1, 1, 2]))
        start = int(rng.integers(len(film) - step * FRAMES))
        frames = [np.asarray(film[start + step * n]) for n in range(FRAMES)]
        still_camera = rng.random() < 0.5
    else:
        with Image.open(files[int(rng.integers(len(files)))]) as image:
            frames = [np.asarray(image.convert("RGB"))] * FRAMES
        still_camera = rng.random() < 0.15
    height, width = frames[0].shape[:2]
    least = max((HEIGHT + _MARGIN) / height, (WIDTH + _MARGIN) / width)
    scale = max(least, rng.uniform(0.5, 1.0))
    size = (round(width * scale), round(height * scale))
    if frames[0] is frames[-1]:
        frames = [_resize(frames[0], size)] * FRAMES
    else:
        frames = [_resize(frame, size) for frame in frames]
    path = [np.eye(3)] * FRAMES if still_camera else _draw_path(rng)
    room = (size[0] - WIDTH, size[1] - HEIGHT)
    corner = np.array([rng.uniform(0, max(room[0], 1)), rng.uniform(0, max(room[1], 1))])
    if still_camera:
        corner = np.rint(corner)
    place = np.eye(3)
    place[:2, 2] = corner
    views = [_look(frame, place @ each) for frame, each in zip(frames, path, strict=True)]
    if rng.random() < 0.6:
        views = _add_objects(views, path, rng, files)
    if rng.random() < 0.3:
        views = _add_shadows(views, rng)
    if rng.random() < 0.4:
        level = rng.exponential(1.5)
        views = [
            np.clip(np.rint(view + rng.normal(0, level, view.shape)), 0, 255).astype(np.uint8)
            for view in views
        ]
    if rng.random() < 0.5:
        views = [np.ascontiguousarray(view[:, ::-1]) for view in views]
    return views


def _resize(frame: Frame, size: tuple[int, int]) -> Frame:
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))


def _draw_path(rng: np.random.Generator) -> list[Matrix]:
    """Return the camera of each frame: a matrix from places in the view to places in the scene."""
    kind = rng.choice(["shake", "pan", "drive"], p=[0.25, 0.35, 0.4])
    angle = rng.uniform(0, 2 * np.pi)
    speed = np.exp(rng.uniform(np.log(0.2), np.log(25))) if kind == "pan" else 0.0
    zoom = np.exp(rng.uniform(np.log(0.002), np.log(0.12))) if kind == "drive" else 0.0
    zoom *= rng.choice([-1, 1], p=[0.2, 0.8])
    turn = np.radians(rng.normal(0, 0.3)) * (rng.random() < 0.5)
    shake = np.exp(rng.uniform(np.log(0.05), np.log(3)))
    shake *= 1.0 if kind == "shake" else 0.5 * (rng.random() < 0.7)
    middle = np.array([WIDTH, HEIGHT]) * rng.uniform(0.3, 0.7, 2)
    path = []
    for n in range(FRAMES):
        step = n - FRAMES // 2
        size, theta = np.exp(-zoom * step), turn * step + np.radians(rng.normal(0, 0.05 * shake))
        matrix = np.eye(3)
        matrix[:2, :2] = size * np.array(
            [[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]]
        )
        drift = speed * step * np.array([np.cos(angle), np.sin(angle) * 0.4])
        matrix[:2, 2] = middle - matrix[:2, :2] @ middle + drift + rng.normal(0, shake, 2)
        path.append(matrix)
    return path


def _look(frame: Frame, matrix: Matrix) -> Frame:
    if np.array_equal(matrix[:2, :2], np.eye(2)) and np.array_equal(matrix, np.rint(matrix)):
        left, top = (int(each) for each in matrix[:2, 2])
        part = frame[top : top + HEIGHT, left : left + WIDTH]
        if part.shape[:2] == (HEIGHT, WIDTH):
            return part
    seen = cv2.warpAffine(
        frame,
        matrix[:2],
        (WIDTH, HEIGHT),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(seen, np.uint8)


def _add_objects(
    views: list[Frame], path: Sequence[Matrix], rng: np.random.Generator, files: Sequence[Path]
) -> list[Frame]:
    """Return the views with one to three objects that move by themselves."""
    changed = [view.astype(np.float32) for view in views]
    for _ in range(int(rng.integers(1, 6))):
        with Image.open(files[int(rng.integers(len(files)))]) as image:
            texture = _resize(np.asarray(image.convert("RGB")), (200, 200)).astype(np.float32)
        mask = _draw_shape(rng)[..., None]
        speed = rng.normal(0, np.exp(rng.uniform(np.log(0.3), np.log(30))), 2) * (1, 0.4)
        size = np.exp(rng.uniform(np.log(0.12), np.log(0.8)))
        growth = rng.normal(0, 0.01)
        start = rng.uniform(0.1, 0.9, 2) * (WIDTH, HEIGHT)
        for n in range(FRAMES):
            step = n - FRAMES // 2
            place = np.linalg.inv(path[n])
            at = place[:2, :2] @ start + place[:2, 2] + speed * step
            scale = size * np.exp(growth * step) * np.sqrt(abs(np.linalg.det(place[:2, :2])))
            matrix = np.array([[scale, 0, at[0] - 100 * scale], [0, scale, at[1] - 100 * scale]])
            # Reduced by areas first, as a lens does, since a warp takes single pixels.
            small = max(8, round(200 * min(1.0, scale)))
            factor = 200 / small
            matrix[:, :2] *= factor
            content = np.concatenate([texture * mask, mask * 255], 2)
            content = cv2.resize(content, (small, small), interpolation=cv2.INTER_AREA)
            moved = cv2.warpAffine(content, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
            changed[n] *= 1 - moved[..., 3:] / 255
            changed[n] += moved[..., :3]
    return [np.clip(np.rint(view), 0, 255).astype(np.uint8) for view in changed]


def _add_shadows(views: Sequence[Frame], rng: np.random.Generator) -> list[Frame]:
    """Return the views with soft and hard shadows, such as those of trees on a road."""
    cells = int(rng.integers(4, 30))
    scale = float(np.exp(rng.uniform(0, np.log(3))))
    noise = rng.normal(0, 1, (cells, round(cells * scale))).astype(np.float32)
    field = cv2.resize(noise, (3 * WIDTH, 2 * HEIGHT), interpolation=cv2.INTER_CUBIC)
    shade = np.clip((field - rng.normal(0, 0.7)) * rng.uniform(1, 15), 0, 1)
    depth = rng.uniform(0.3, 0.8)
    speed = np.exp(rng.uniform(np.log(0.5), np.log(60))) * np.array([rng.normal(), rng.normal()])
    start = np.array([WIDTH, HEIGHT / 2])
    shaded = []
    for n, view in enumerate(views):
        place = start + np.clip(speed * (n - FRAMES // 2), -start, start)
        matrix = np.array([[1, 0, place[0]], [0, 1, place[1]]])
        part = cv2.warpAffine(
            shade, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        shaded.append(np.rint(view * (1 - depth * part[..., None])).astype(np.uint8))
    return shaded


def _draw_shape(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return a mask (200, 200): an ellipse, a box or a blob."""
    mask = np.zeros((200, 200), np.uint8)
    kind = rng.integers(3)
    if kind == 0:
        axes = tuple(int(each) for each in rng.integers(30, 95, 2))
        cv2.ellipse(mask, (100, 100), axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
    elif kind == 1:
        high, wide = (int(each) for each in rng.integers(25, 95, 2))
        mask[100 - high : 100 + high, 100 - wide : 100 + wide] = 255
    else:
        corners = int(rng.integers(5, 14))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        reach = rng.uniform(30, 95, corners)
        points = 100 + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
        cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 255)
    return np.asarray(mask / np.float32(255), np.float32)


def add_rain(
    dry: Sequence[Frame], rng: np.random.Generator, library: StreakLibrary | None
) -> list[Frame]:
    """Return the frames with rain of one kind, whose drops are others in each frame."""
    kind = rng.choice(["dry", "layers", "slow", "drops"], p=[0.1, 0.55, 0.1, 0.25])
    if kind == "dry":
        return list(dry)
    if kind == "drops":
        return _add_drops(dry, rng)
    density = RainDensity(int(rng.integers(1, 4)))
    photoreal = library if rng.random() < 0.4 else None
    if kind == "slow":
        return _add_slow_rain(dry, density, rng)
    scale = float(np.exp(rng.uniform(np.log(0.7), np.log(1.6))))
    spec = make_rainy_pair(dry[0], density, rng, scale=scale, library=photoreal).spec
    return [make_rainy_pair(frame, spec, rng, library=library).rainy for frame in dry]


def _add_slow_rain(
    dry: Sequence[Frame], density: RainDensity, rng: np.random.Generator
) -> list[Frame]:
    """Return the frames with streaks that fall by less than their length per frame."""
    target = sample_target(density, rng)
    spec = sample_spec(density, rng, target=target)
    _, spec = draw_to_target(dry[0], spec, density, target, rng, None)
    fall = int(np.exp(rng.uniform(np.log(3), np.log(40))))
    height, width = dry[0].shape[:2]
    layer = render(spec, height + fall * FRAMES, width, rng, None)
    rainy = []
    for n, frame in enumerate(dry):
        top = fall * (FRAMES - 1 - n)
        streaks = amplify(np.ascontiguousarray(layer[top : top + height]), spec.gain)
        rainy.append(compose(frame, streaks, spec))
    return rainy


def _add_drops(dry: Sequence[Frame], rng: np.random.Generator) -> list[Frame]:
    """Return the frames with single drops, from a wide sheet of one rain."""
    height, width = dry[0].shape[:2]
    rain, frame_width = sample_camera(rng)
    if rng.random() < 0.5:
        streaks = sample_camera_streaks(
            rain, 2 * height, 2 * width, rng, frame_width=frame_width, most=3000
        )
        streaks = streaks.select(streaks.blur + streaks.width < 48)
    else:
        streaks = sample_streaks(2 * height, 2 * width, rng, lit=False)
    opacity = draw_streaks(streaks, 2 * height, 2 * width)
    light = estimate_drop_light(rain, dry[0])
    rainy = []
    for frame in dry:
        top, left = int(rng.integers(height + 1)), int(rng.integers(width + 1))
        part = np.ascontiguousarray(opacity[top : top + height, left : left + width])
        rainy.append(compose_drops(frame, part, light))
    return rainy


def compress_frame(frame: Frame, quality: int) -> Frame:
    """Return a frame after a JPEG of a quality from 1 to 100."""
    _, content = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(content, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.ascontiguousarray(decoded[..., ::-1], np.uint8)
