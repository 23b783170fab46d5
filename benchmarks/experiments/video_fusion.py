"""Train the network of three frames that ships as `video`.

    python -m benchmarks.experiments.video_fusion draw FOLDER --still STILLS... --clip CLIP...
    python -m benchmarks.experiments.video_fusion train FOLDER -o video.safetensors
    python -m benchmarks.experiments.video_fusion export video.safetensors -o video.onnx

Contract: `draw` makes dry sequences of frames, adds rain with different drops in every frame, and
derains them as `crdnet video` does. For each frame it saves the seven aligned input images of the
network and the truth in one file, uint8 (8, h, w, 3). `train` may read files while `draw` adds
others.

`video_scenes` describes the content of the sequences.
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
from safetensors.torch import load_file, save_file

from benchmarks.experiments.video_scenes import (
    FRAMES,
    Frame,
    add_rain,
    compress_frame,
    draw_scene,
)
from crdnet._version import __version__
from crdnet.data import read_frames
from crdnet.density import LUMA_WEIGHTS
from crdnet.export import export_fusion
from crdnet.nn.fusion import FusionNetwork
from crdnet.rain import StreakLibrary
from crdnet.runtime import FUSE, ModelInfo
from crdnet.video import FrameNetwork, TemporalDerainer
from crdnet.video.engine import open_network
from crdnet.video.fusion import FusionModel, list_images


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
        height, width = here.light.shape
        if flow is None:
            flow = np.zeros((2, height, width), np.float32)
        cells = int(rng.integers(3, 16))
        noise = rng.normal(0, 1, (cells, cells, 3)).astype(np.float32)
        field = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        down, right, mask = field.transpose(2, 0, 1)
        mask = np.clip((mask - rng.normal(0.3, 0.6)) * rng.uniform(1, 8), 0, 1)
        reach = np.exp(rng.uniform(np.log(0.3), np.log(20)))
        return np.asarray(flow + mask * np.stack([down, right]) * np.float32(reach), np.float32)


@main.command("draw")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--still", "stills", multiple=True, type=click.Path(path_type=Path))
@click.option("--clip", "clips", multiple=True, type=click.Path(path_type=Path))
@click.option("--streaks", type=click.Path(path_type=Path), help="Photorealistic streaks.")
@click.option("--fusion", help="Model whose results are carried on to the next frame.")
@click.option("--seed", default=0)
@click.option("--minutes", default=20.0)
@click.option("--first", default=0, help="Number of the first sequence.")
@click.option("--sequences", type=int, help="Sequences to draw.  [default: as many as fit]")
def draw(
    folder: Path,
    stills: tuple[Path, ...],
    clips: tuple[Path, ...],
    streaks: Path | None,
    fusion: str | None,
    seed: int,
    minutes: float,
    first: int,
    sequences: int | None,
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
    model = None if fusion is None else FusionModel(fusion, 1)
    end = monotonic() + 60 * minutes
    for number in count(first):
        if monotonic() > end or number - first == sequences:
            break
        rng = np.random.default_rng([seed, number])
        dry = draw_scene(rng, files, films)
        rainy = add_rain(dry, rng, library)
        if rng.random() < 0.25:
            quality = int(rng.integers(60, 96))
            dry, rainy = (
                [compress_frame(frame, quality) for frame in each] for each in (dry, rainy)
            )
        for n, images in enumerate(_derain(network, model, rainy, rng)):
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
    frames: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return frames


def _derain(
    network: FrameNetwork,
    model: FusionModel | None,
    rainy: Sequence[Frame],
    rng: np.random.Generator,
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield what the network of three frames sees of each frame (7, h, w, 3)."""
    seen = []

    def record(*images: Any) -> Any:
        stacked = np.stack(list_images(*images))
        seen.append(np.rint(np.clip(stacked, 0, 255)).astype(np.uint8))
        return images[-1] if model is None else model(*images)

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
@click.option("--steps", type=int, help="Steps to train.  [default: as many as fit]")
@click.option("--pairs", default=8, help="Pairs of successive frames in a step.")
@click.option("--flicker", default=0.0, help="Weight of flicker in the loss.")
@click.option("--side", default=128)
@click.option("--learning-rate", default=2e-3)
@click.option("--seed", default=0)
@click.option("--bfloat16/--float32", default=False)
@click.option("--start-from", type=click.Path(path_type=Path))
def train(
    folder: Path,
    output: Path,
    minutes: float,
    steps: int | None,
    pairs: int,
    flicker: float,
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
            files = [path for path in sorted(folder.glob("*_*.npy")) if _find_next(path).exists()]
        share = (monotonic() - began) / (60 * minutes)
        if share >= 1 or step == steps:
            break
        rate = learning_rate * min(1, (step + 1) / 200) * (0.5 + 0.5 * np.cos(np.pi * share))
        for group in optimizer.param_groups:
            group["lr"] = rate
        images = torch.from_numpy(_read_batch(files, pairs, side, rng)).permute(0, 3, 1, 2)
        images = images.to(torch.float32) / 255
        seen, clean = images[:, :21], images[:, 21:]
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            improved = network(seen.contiguous(memory_format=torch.channels_last))
        wrong = improved.float() - clean
        error = wrong.square().mean((1, 2, 3))
        before = (seen[:, :3] - clean).square().mean((1, 2, 3))
        loss = (error + 2e-5).log().mean()
        if flicker:
            luma = (wrong * torch.tensor(LUMA_WEIGHTS).reshape(3, 1, 1)).sum(1)
            change = (luma[1::2] - luma[::2]).abs().mean((1, 2))
            loss = loss + flicker * (change + 2e-3).log().mean()
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
@click.option("--training-data", default="not stated", help="Training data and its terms.")
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


def _find_next(path: Path) -> Path:
    """Return the path of the frame that follows a saved frame."""
    number, frame = path.stem.split("_")
    return path.with_name(f"{number}_{int(frame) + 1}.npy")


def _read_batch(
    files: Sequence[Path], pairs: int, side: int, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Return crops (2 * pairs, side, side, 24); each second one is of the next frame."""
    crops = []
    for _ in range(pairs):
        first = files[int(rng.integers(len(files)))]
        both = [np.load(path, mmap_mode="r") for path in (first, _find_next(first))]
        height, width = both[0].shape[1:3]
        top = int(rng.integers(height - side + 1))
        left = int(rng.integers(width - side + 1))
        down, across = (int(each) for each in rng.choice([-1, 1], 2))
        for images in both:
            crop = np.array(images[:, top : top + side, left : left + side])
            if rng.random() < 0.6:
                _misalign(crop, images, (top, left), rng)
            crop = crop[:, ::down, ::across]
            crops.append(crop.transpose(1, 2, 0, 3).reshape(side, side, 24))
    return np.stack(crops)


if __name__ == "__main__":
    main()
