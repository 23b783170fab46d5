"""How much detail photographs have at a size against half of it: `python benchmarks/detail.py FOLDER...`.

Contract: up to 60 pictures of each folder, every so many by name, as they are and enlarged by bicubic interpolation;
printed are percentiles of detail at full size / detail at 1/2 (`crdnet.runtime.scales.detail`), which tell what
threshold parts the two kinds (`crdnet.runtime.scales.EMPTY`).
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from crdnet.data import list_images, read_rgb
from crdnet.runtime.pixels import as_colours
from crdnet.runtime.scales import detail, reduced

PERCENTILES = (0, 5, 50, 95, 100)
PICTURES = 60


def ratio(picture: Image.Image) -> float:
    width, height = (side - side % 4 for side in picture.size)
    colours = as_colours(np.asarray(picture.crop((0, 0, width, height))))
    return detail(colours) / max(detail(reduced(colours, 2)), 0.1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+")
    print(f"| pictures | enlarged | {' | '.join(f'{each} %' for each in PERCENTILES)} |")
    print("|---|---|---|---|---|---|---|")
    for folder in parser.parse_args().folders:
        paths = list_images(folder).images
        pictures = [
            Image.fromarray(read_rgb(folder / path))
            for path in paths[:: -(-len(paths) // PICTURES)]
        ]
        for times in (1, 1.5, 2, 4):
            ratios = [
                ratio(
                    each.resize(
                        (round(each.width * times), round(each.height * times)),
                        Image.Resampling.BICUBIC,
                    )
                )
                for each in pictures
            ]
            cells = " | ".join(f"{value:.2f}" for value in np.percentile(ratios, PERCENTILES))
            print(f"| {folder.name} ({len(pictures)}) | {times:g} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
