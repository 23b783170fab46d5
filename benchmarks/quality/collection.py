"""Decode and encode the files of a collection, and report refusals, losses and errors.

    apt-get install libimage-exiftool-perl
    python -m benchmarks.quality.collection report FOLDER [--format png]

Contract. Every file under FOLDER, image or not, is decoded and encoded as `crdnet derain` does,
with unchanged pixels, in a subprocess of at most `SECONDS` for each task. A read-only format
becomes PNG. Printed are the number of written files, the refused files by reason with an example,
and the metadata that outputs lack, by the note that reports it. Metadata is read by exiftool if it
is installed, otherwise by crdnet itself, which misses metadata that crdnet cannot read. Tags about
the coding of pixels and about the file itself are not compared.

Each of these findings makes the exit code 1:

- an error other than a refusal, or a refusal that is not one line with the file's name;
- a file that takes too long or crashes its decoder;
- an output of another size, or a lossless output with other pixels;
- metadata lost silently: the output lacks tags and no note says so;
- a file reported as damaged that Pillow reads without a warning.
"""

import json
import re
import subprocess
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

import click
import numpy as np
from PIL import Image, ImageOps

from benchmarks.helpers import path_type
from crdnet.errors import ImageError
from crdnet.images import FORMATS, ImageSource, WorkerCodec, decode

SECONDS = 120.0
MOST_PIXELS = 100_000_000
_SUFFIXES = {name: f".{suffix}" for suffix, name in FORMATS.items()}
_NOT_COMPARED = re.compile(
    r"^PNG:(SRGBRendering|ProfileName|Gamma|WhitePoint.|Red.|Green.|Blue.)$"
    r"|:(OtherImage|PreviewImage)\w*$"
    r"|^(System|ExifTool|File|Composite|SourceFile|JFIF|APP14|Adobe|RIFF|PNG-pHYs|GIF|BMP|HEIF|Meta"
    r"|QuickTime|ICC-header)\b"
    r"|:(ThumbnailOffset|Image(Width|Height|Size)|BitsPerSample|BitDepth|ColorType|Compression"
    r"|Filter|Interlace|PhotometricInterpretation|Strip\w+|Tile\w+|RowsPerStrip|SamplesPerPixel"
    r"|PlanarConfiguration|Predictor|ExtraSamples|SampleFormat|SubfileType|OldSubfileType"
    r"|YCbCr\w+|ReferenceBlackWhite|ColorMap|Palette|Transparency|FillOrder|Encoding\w*"
    r"|T4Options|T6Options|JPEG\w+|ExifByteOrder|PageNumber|Thresholding"
    r"|SM(in|ax)SampleValue|Gray\w+|Min\w+|Max\w+"
    r"|FreeOffsets|FreeByteCounts|VP8Version|HorizontalScale|VerticalScale|WebP_Flags|AlphaIsUsed)$"
)


@dataclass
class Report:
    """Outcomes of a collection."""

    done: int = 0
    refused: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Files by the reason, in which numbers are replaced."""
    lost: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Files by what was said and the group of the tags that the output lacks."""
    findings: list[str] = field(default_factory=list)


def check_file(
    path: Path, output: Path, codec: WorkerCodec, format_: str | None, report: Report
) -> tuple[Path, tuple[str, ...]] | None:
    """Decode and encode a file; return the written file and the notes, or None if it is refused."""

    @contextmanager
    def open_output() -> Iterator[BufferedIOBase]:
        with output.open("wb") as file:
            yield file

    try:
        with ImageSource(path, max_pixels=MOST_PIXELS) as source:
            image = codec.decode(source)
            target = format_ or (None if source.header.format in _SUFFIXES else "PNG")
            output = output.with_suffix(_SUFFIXES[target or source.header.format])
            notes = codec.encode(image, image.pixels, open_output, format=target, name=str(path))
        check_pixels(path, image.pixels, output, notes, report)
    except ImageError as error:
        judge_refusal(path, str(error), report)
        return None
    except Exception as error:
        report.findings.append(f"{path}: {type(error).__name__}: {error}")
        return None
    report.done += 1
    return output, notes


def check_pixels(
    path: Path, pixels: np.ndarray, output: Path, notes: tuple[str, ...], report: Report
) -> None:
    """Compare an output with the decoded pixels, and their size with what Pillow sees."""
    again = decode(output.read_bytes(), str(output))
    if again.pixels.shape[:2] != pixels.shape[:2]:
        report.findings.append(f"{path}: {pixels.shape} became {again.pixels.shape}")
    elif output.suffix in (".png", ".tiff"):
        # Below partial alpha, a TIFF of associated alpha holds colours that are rounded twice.
        shown = ... if again.alpha is None else again.alpha == np.iinfo(again.alpha.dtype).max
        if not np.array_equal(again.pixels[shown], pixels[shown]):
            report.findings.append(f"{path}: other pixels, {notes}")
    seen = read_by_pillow(path)
    if seen is not None and seen.size != pixels.shape[1::-1]:
        report.findings.append(f"{path}: {pixels.shape} where Pillow sees {seen.size}")


def judge_refusal(path: Path, message: str, report: Report) -> None:
    """Count a refusal by its reason; note one that says too little or something wrong."""
    if "\n" in message or str(path) not in message:
        report.findings.append(f"{path}: refused in other words: {message!r}")
    if re.search("made its decoder crash|took more than|NoneType|Traceback", message):
        report.findings.append(message)
    if "damaged" in message and read_by_pillow(path) is not None:
        report.findings.append(f"Pillow reads it: {message}")
    reason = re.sub(r"\d[\d,.]*", "N", message.replace(str(path), "FILE"))
    report.refused[reason].append(str(path))


def read_by_pillow(path: Path) -> Image.Image | None:
    """Return an upright image, or None if Pillow cannot read it or warns."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(path) as image:
                image.load()
                return ImageOps.exif_transpose(image)
    except Exception:  # Pillow raises what damaged files make it raise
        return None


def read_tags(files: list[Path]) -> Mapping[Path, Mapping[str, str]]:
    """Return the metadata of files, as tags with their groups."""
    if which("exiftool") is None:
        return {file: _read_own_tags(file) for file in files}
    listed = "\n".join(map(str, files))
    command = ["exiftool", "-j", "-G1", "-a", "-u", "-x", "File:all", "-charset", "filename=utf8"]
    result = subprocess.run(
        [*command, "-@", "-"], input=listed, capture_output=True, text=True, check=False
    )
    found = json.loads(result.stdout or "[]")
    return {Path(tags["SourceFile"]): {key: str(tags[key]) for key in tags} for tags in found}


def _read_own_tags(file: Path) -> Mapping[str, str]:
    around = decode(file.read_bytes(), str(file)).metadata.around
    values = {"EXIF": around.exif, "XMP": around.xmp, "ICC": around.icc, "IPTC": around.photoshop}
    return {f"{name}:{name}": "present" for name, value in values.items() if value}


def compare_tags(pairs: Mapping[Path, tuple[Path, tuple[str, ...]]], report: Report) -> None:
    """Count the tags that outputs lack; note those of which nothing was said."""
    tags = read_tags([*pairs, *(output for output, _ in pairs.values())])
    for path, (output, notes) in pairs.items():
        before, after = tags.get(path, {}), tags.get(output, {})
        present = {key.partition(":")[2] for key in after}
        lost = [
            key
            for key in before
            if not _NOT_COMPARED.search(key) and key.partition(":")[2] not in present
        ]
        for group in {key.partition(":")[0] for key in lost}:
            report.lost[" + ".join(_shorten(notes)) or "nothing", group] += 1
        if lost and not notes:
            report.findings.append(f"{path}: lost in silence: {', '.join(lost)}")


def _shorten(notes: tuple[str, ...]) -> list[str]:
    return [re.sub(r"\d+", "N", note.removeprefix("could not carry over ")) for note in notes]


def print_report(report: Report) -> None:
    """Print a report as Markdown."""
    refused = sum(map(len, report.refused.values()))
    click.echo(f"{report.done} done, {refused} refused, {len(report.findings)} findings\n")
    click.echo("| refused | reason | such as |\n|---|---|---|")
    for reason, files in sorted(report.refused.items(), key=lambda each: -len(each[1])):
        click.echo(f"| {len(files)} | {reason} | {Path(files[0]).name} |")
    click.echo("\n| files | tags that the output lacks | what was said |\n|---|---|---|")
    for (said, group), count in report.lost.most_common():
        click.echo(f"| {count} | {group} | {said} |")
    click.echo("".join(f"\n- {finding}" for finding in report.findings))


@click.group(help=__doc__)
def main() -> None:
    """Commands of this script."""


@main.command("report", help="Process all files under FOLDER and report the results.")
@click.argument("folder", type=path_type)
@click.option("--format", "format_", type=click.Choice([*FORMATS]), help="Format of all outputs.")
def report_command(folder: Path, format_: str | None) -> None:
    report, pairs = Report(), dict[Path, tuple[Path, tuple[str, ...]]]()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with TemporaryDirectory() as place, WorkerCodec(seconds=SECONDS) as codec:
        for number, path in enumerate(files):
            target = format_ and FORMATS[format_]
            written = check_file(path, Path(place, str(number)), codec, target, report)
            if written is not None:
                pairs[path] = written
        compare_tags(pairs, report)
    print_report(report)
    sys.exit(bool(report.findings))


if __name__ == "__main__":
    main()
