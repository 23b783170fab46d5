"""Train the network of three frames that ships as `video`.

    python -m benchmarks.experiments.video_fusion draw FOLDER --still STILLS... --clip CLIP...
    python -m benchmarks.experiments.video_fusion train FOLDER -o video.safetensors
    python -m benchmarks.experiments.video_fusion export video.safetensors -o video.onnx

`draw` makes dry sequences of frames, adds rain whose drops are drawn anew in every frame, and derains
them as `crdnet video` does. It saves what the network sees of each frame, aligned, and the truth:
one file for each, uint8 (8, h, w, 3). `train` reads those files, while `draw` still adds some too.

Half of the sequences show stills under a camera that shakes, pans or drives, with objects that move
by themselves; the others are parts of clips, half of them under such a camera too.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import click
import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from crdnet import RainDensity
from crdnet._version import __version__
from crdnet.evaluation import read_frames
from crdnet.export import export_fusion
from crdnet.nn.fusion import FusionNetwork
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
from crdnet.runtime import FUSE, ModelInfo
from crdnet.video import FrameNetwork, TemporalDerainer
from crdnet.video.engine import open_network
from crdnet.video.fusion import list_images

Frame = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]
HEIGHT, WIDTH, FRAMES = 288, 352, 7
_MARGIN = 48


@click.group(help=__doc__.splitlines()[0])
def main() -> None: ...


class _Confused(TemporalDerainer):
    """Derainer whose flow is wrong in parts of the frames, as it is where motion is fast."""

    _rng: np.random.Generator | None = None

    def confuse(self, rng: np.random.Generator) -> None:
        """Make the flow wrong from now on."""
        self._rng = rng

    def _find_flow(self, here: Any, neighbour: Any) -> Any:
        flow = super()._find_flow(here, neighbour)
        rng = self._rng
        if rng is None or rng.random() < 0.3:
            return flow
        height, width = here.luma.shape
        if flow is None:
            flow = np.zeros((height, width, 2), np.float32)
        cells = int(rng.integers(3, 16))
        noise = rng.normal(0, 1, (cells, cells, 3)).astype(np.float32)
        field = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        mask = np.clip((field[..., 2:] - rng.normal(0.3, 0.6)) * rng.uniform(1, 8), 0, 1)
        reach = np.exp(rng.uniform(np.log(0.3), np.log(20)))
        return np.asarray(flow + mask * field[..., :2] * np.float32(reach), np.float32)


@main.command("draw")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--still", "stills", multiple=True, type=click.Path(path_type=Path))
@click.option("--clip", "clips", multiple=True, type=click.Path(path_type=Path))
@click.option("--streaks", type=click.Path(path_type=Path), help="Photorealistic streaks.")
@click.option("--seed", default=0)
@click.option("--minutes", default=20.0)
@click.option("--first", default=0, help="Number of the first sequence.")
def draw(
    folder: Path,
    stills: tuple[Path, ...],
    clips: tuple[Path, ...],
    streaks: Path | None,
    seed: int,
    minutes: float,
    first: int,
) -> None:
    """Draw sequences and save what the network sees of their frames."""
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(
        path
        for still in stills
        for path in still.rglob("*")
        if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"}
    )
    films = [_read_film(clip, folder) for clip in clips]
    library = None if streaks is None else StreakLibrary.read(streaks)
    network = open_network("default", "cpu", 1)
    end = monotonic() + 60 * minutes
    for number in count(first):
        if monotonic() > end:
            break
        rng = np.random.default_rng([seed, number])
        dry = _draw_scene(rng, files, films)
        rainy = _add_rain(dry, rng, library)
        if rng.random() < 0.25:
            quality = int(rng.integers(60, 96))
            dry, rainy = ([_compress(frame, quality) for frame in each] for each in (dry, rainy))
        for n, images in enumerate(_derain(network, rainy, rng)):
            # The ends lack a neighbour, which is rare in clips.
            if 0 < n < FRAMES - 1 or rng.random() < 0.25:
                stacked = np.concatenate([images, dry[n][None]])
                np.save(folder / f"{number:05d}_{n}.npy", stacked)
        if number % 20 == 0:
            click.echo(f"{number} {(monotonic() - end) / 60 + minutes:.1f} min")


def _read_film(clip: Path, folder: Path) -> npt.NDArray[np.uint8]:
    """Return the frames of a clip (n, h, w, 3), from a file that is made once."""
    path = folder.parent / f"{clip.stem}.npy"
    if not path.exists():
        np.save(path, np.stack(list(read_frames(clip, 0, 1500))))
    return np.load(path, mmap_mode="r")


def _draw_scene(
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
    return cv2.warpAffine(
        frame,
        matrix[:2],
        (WIDTH, HEIGHT),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )


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
        half = rng.integers(25, 95, 2)
        cv2.rectangle(mask, *(tuple(int(v) for v in 100 + s * half) for s in (-1, 1)), 255, -1)
    else:
        corners = int(rng.integers(5, 14))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        reach = rng.uniform(30, 95, corners)
        points = 100 + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
        cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 255)
    return mask.astype(np.float32) / 255


def _add_rain(
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


def _compress(frame: Frame, quality: int) -> Frame:
    _, content = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1])


def _derain(
    network: FrameNetwork, rainy: Sequence[Frame], rng: np.random.Generator
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield what the network of three frames sees of each frame (7, h, w, 3)."""
    seen = []

    def record(*images: Any) -> Any:
        stacked = np.stack(list_images(*images))
        seen.append(np.rint(np.clip(stacked, 0, 255)).astype(np.uint8))
        return images[-1]

    derainer = _Confused(network, always=True, fusion=record)
    if rng.random() < 0.4:
        derainer.confuse(rng)
    for frame in rainy:
        derainer.push(frame)
    list(derainer.flush())
    yield from seen


@main.command("train")
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path))
@click.option("--minutes", default=60.0)
@click.option("--batch", default=16)
@click.option("--side", default=128)
@click.option("--learning-rate", default=2e-3)
@click.option("--seed", default=0)
@click.option("--bfloat16/--float32", default=False)
@click.option("--start-from", type=click.Path(path_type=Path))
def train(
    folder: Path,
    output: Path,
    minutes: float,
    batch: int,
    side: int,
    learning_rate: float,
    seed: int,
    bfloat16: bool,
    start_from: Path | None,
) -> None:
    """Train the network on saved frames for some minutes."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    network = FusionNetwork()
    if start_from is not None:
        network.load_state_dict(load_file(start_from))
    network.to(memory_format=torch.channels_last)
    kernels = [each for each in network.parameters() if each.ndim > 1]
    biases = [each for each in network.parameters() if each.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": kernels, "weight_decay": 1e-4}, {"params": biases, "weight_decay": 0.0}],
        lr=learning_rate,
        betas=(0.9, 0.99),
    )
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    rng = np.random.default_rng(seed)
    began = monotonic()
    losses: list[list[float]] = []
    files: list[Path] = []
    for step in count():
        if step % 50 == 0:
            files = sorted(folder.glob("*_*.npy"))
        share = (monotonic() - began) / (60 * minutes)
        if share >= 1:
            break
        rate = learning_rate * min(1, (step + 1) / 200) * (0.5 + 0.5 * np.cos(np.pi * share))
        for group in optimizer.param_groups:
            group["lr"] = rate
        images = torch.from_numpy(_read_batch(files, batch, side, rng)).permute(0, 3, 1, 2)
        images = images.to(torch.float32) / 255
        seen, clean = images[:, :21], images[:, 21:]
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            improved = network(seen.contiguous(memory_format=torch.channels_last))
        error = (improved.float() - clean).square().mean((1, 2, 3))
        before = (seen[:, :3] - clean).square().mean((1, 2, 3))
        loss = (error + 2e-5).log().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        decay = min(0.999, step / (step + 10))
        with torch.no_grad():
            for name, value in network.state_dict().items():
                average[name].lerp_(value, 1 - decay)
        gain = 4.343 * ((before + 2e-5).log() - (error.detach() + 2e-5).log()).mean()
        losses.append([float(loss.detach()), float(gain)])
        if step % 100 == 99:
            mean = np.mean(losses[-100:], 0)
            click.echo(
                f"step {step + 1} {60 * minutes * share:.0f} s, files {len(files)}, "
                f"loss {mean[0]:.4f}, gain over fused {mean[1]:+.3f} dB"
            )
        if step % 500 == 499:
            _save(average, output)
    _save(average, output)


def _misalign(
    crop: npt.NDArray[np.uint8],
    images: npt.NDArray[np.uint8],
    corner: tuple[int, int],
    rng: np.random.Generator,
) -> None:
    """Show another place in parts of the neighbours, as where the flow fails or something passes.

    There the fused image is the frame's own estimate, as fusion by variances makes it.
    """
    side = crop.shape[1]
    height, width = images.shape[1:3]
    cells = int(rng.integers(2, 7))
    noise = rng.normal(0, 1, (cells, cells)).astype(np.float32)
    field = cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    low = np.quantile(field, rng.uniform(0, 0.7)) if rng.random() < 0.7 else field.min() - 1
    mask = np.clip((field - low) * rng.uniform(2, 20), 0, 1)[..., None]
    for neighbour in (3, 5):
        if rng.random() < 0.25:
            continue
        reach = np.exp(rng.uniform(np.log(0.7), np.log(90)))
        angle = rng.uniform(0, 2 * np.pi)
        top = int(np.clip(corner[0] + round(reach * np.sin(angle)), 0, height - side))
        left = int(np.clip(corner[1] + round(reach * np.cos(angle)), 0, width - side))
        other = images[neighbour : neighbour + 2, top : top + side, left : left + side]
        part = crop[neighbour : neighbour + 2]
        part[...] = np.rint(part + mask * (other.astype(np.float32) - part))
    crop[0] = np.rint(crop[0] + mask * (crop[1].astype(np.float32) - crop[0]))


def _save(weights: dict[str, Any], output: Path) -> None:
    """Save weights whole or not at all, in the usual order of memory."""
    partial = output.with_suffix(".partial")
    save_file({name: value.contiguous() for name, value in weights.items()}, partial)
    partial.replace(output)


@main.command("export")
@click.argument("weights", type=click.Path(path_type=Path, exists=True))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path))
@click.option("--training-data", default="not stated", help="Data trained on and its terms.")
def export(weights: Path, output: Path, training_data: str) -> None:
    """Turn weights into a model file."""
    network = FusionNetwork()
    network.load_state_dict(load_file(weights))
    info = ModelInfo(
        name=output.stem,
        size_multiple=network.size_multiple,
        margin=network.tile_margin,
        version=__version__,
        training_data=training_data,
        task=FUSE,
    )
    report = export_fusion(network, output, info)
    click.echo(f"{output}: {report.bytes} bytes, differs by {report.largest_difference:.2g}")


def _read_batch(
    files: Sequence[Path], batch: int, side: int, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Return crops (batch, side, side, 24)."""
    crops = []
    for _ in range(batch):
        images = np.load(files[int(rng.integers(len(files)))], mmap_mode="r")
        height, width = images.shape[1:3]
        top = int(rng.integers(height - side + 1))
        left = int(rng.integers(width - side + 1))
        crop = np.array(images[:, top : top + side, left : left + side])
        if rng.random() < 0.6:
            _misalign(crop, images, (top, left), rng)
        if rng.random() < 0.5:
            crop = crop[:, :, ::-1]
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        crops.append(crop.transpose(1, 2, 0, 3).reshape(side, side, 24))
    return np.stack(crops)


if __name__ == "__main__":
    main()
