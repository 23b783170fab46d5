"""Collection of the images without rain for dry_images.py.

dry_images.csv lists every image with its kind, source, place in the source and licence. A person
inspected each image and found neither falling rain nor snow. Sources are packages of Debian and
PyPI in fixed versions, fetched with `apt-get` and `pip`; the drawing code of dry_charts.py and
dry_pages.py; and folders of data (val_synth/clean, rain800/val, detect/images, video/dry). No image
is used in training; dry_training.csv lists the training images from other packages. Photographs,
facades, drawings and textures are reduced to at most `SIDE` pixels, at which real rain has streaks
of the trained size. The other kinds are cut to their middle, because reducing would blur lines.
"""

import csv
import re
import subprocess
import sys
import zipfile
from io import BytesIO
from itertools import groupby
from pathlib import Path

import click
from PIL import Image, ImageOps

from benchmarks.quality import dry_charts, dry_pages

MANIFEST = Path(__file__).with_name("dry_images.csv")
SIDE = 768
REDUCED = ("photographs", "facades", "drawings", "textures")
"""Kinds that are reduced; of the others the middle is cut out."""
WHEELS = ("--python-version", "3.7", "--platform", "manylinux1_x86_64", "--only-binary", ":all:")
"""The wheels that hold the images are of that time; they are unpacked, never run."""

Image.MAX_IMAGE_PIXELS = None  # wallpapers are large, and chosen by us


def collect_images(folder: Path, data: Path | None, manifest: Path) -> str:
    """Write the images of a list as PNG, and `images.csv`; existing ones are kept.

    Args:
        folder: Target; packages are kept in `packages/`.
        data: Root of the folders of data; their images are left out if None.
        manifest: The list, as dry_images.csv.

    Returns:
        A sentence with the number of images.
    """
    with manifest.open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (row["source"], row["file"]))
    collected = []
    for source, group in groupby(rows, key=lambda row: row["source"]):
        if source == "data" and data is None:
            continue
        wanted = list(group)
        if any(not (folder / row["file"]).exists() for row in wanted):
            try:
                root = data if source == "data" else fetch_package(source, folder / "packages")
            except subprocess.CalledProcessError as error:
                click.echo(f"{source}: not available ({len(wanted)} images): {error}", err=True)
                continue
        for row in wanted:
            target = folder / row["file"]
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                fit_image(read_image(row["source"], root, row["member"]), row["kind"]).save(target)
            collected.append(row)
    with (folder / "images.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "kind", "source", "licence"], extrasaction="ignore")
        writer.writeheader()
        for row in sorted(collected, key=lambda row: row["file"]):
            place = (
                row["source"]
                if row["source"].startswith("drawn:")
                else f"{row['source']} {row['member']}"
            )
            writer.writerow(row | {"source": place})
    return f"{len(collected)} of {len(rows)} images in {folder}"


def fetch_package(source: str, packages: Path) -> Path | None:
    """Return the folder of a package, fetched and unpacked if missing; None for drawings.

    Raises:
        subprocess.CalledProcessError: The archive does not hold this version.
    """
    archive, _, package = source.partition(":")
    if archive == "drawn":
        return None
    unpacked = packages / re.sub(r"[^\w.+-]", "_", package)
    if unpacked.exists():
        return unpacked
    downloads = packages / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    before = set(downloads.iterdir())
    if archive == "debian":
        command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package]
    else:
        command = [sys.executable, "-m", "pip", "-q", "download", "--no-deps", *WHEELS, package]
    subprocess.run(command, cwd=downloads, check=True)
    (got,) = set(downloads.iterdir()) - before
    if archive == "debian":
        subprocess.run(["dpkg-deb", "-x", str(got), str(unpacked)], check=True)
    else:
        with zipfile.ZipFile(got) as wheel:
            wheel.extractall(unpacked)
    got.unlink()
    return unpacked


def read_image(source: str, root: Path | None, member: str) -> Image.Image:
    """Return an image of a source as RGB, on white where it is transparent.

    Args:
        source: As in dry_images.csv.
        root: The folder of the source's files; drawings have none.
        member: A path in it; `a.jar!b` is a file in a zip, `a#4` a frame, an offset or a seed.
    """
    path, _, place = member.partition("#")
    if root is None:
        draw = dry_charts.draw_chart if source == "drawn:charts" else dry_pages.draw_page
        return Image.fromarray(draw(path, int(place)))
    if path.endswith(".mp4"):
        from crdnet.data import read_frames  # noqa: PLC0415 - needs the extra `video`

        return Image.fromarray(read_frames(root / path, start=int(place), count=1)[0])
    file: Path | BytesIO = root / path
    if path.endswith(".rcc"):
        file = BytesIO(read_resource(root / path, int(place)))
    elif "!" in path:
        archive, inner = path.split("!")
        with zipfile.ZipFile(root / archive) as opened:
            file = BytesIO(opened.read(inner))
    coloured = ImageOps.exif_transpose(Image.open(file)).convert("RGBA")
    if place == "left":
        coloured = coloured.crop((0, 0, coloured.width // 2, coloured.height))
    return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured).convert("RGB")


def read_resource(path: Path, offset: int) -> bytes:
    """Return the bytes of an image in a file of Qt resources, where its length stands before it."""
    with path.open("rb") as file:
        file.seek(offset - 4)
        return file.read(int.from_bytes(file.read(4), "big"))


def fit_image(image: Image.Image, kind: str) -> Image.Image:
    """Return an image of at most `SIDE` pixels a side: reduced, or its middle."""
    if kind in REDUCED:
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        return image
    left, top = (max(0, (side - SIDE) // 2) for side in image.size)
    return image.crop((left, top, min(left + SIDE, image.width), min(top + SIDE, image.height)))
