"""Grades of photographs taken in rain, compared with those that a person gave.

    python benchmarks/quality/real_rain_grades.py PHOTOGRAPHS [--model NAME]

Contract: PHOTOGRAPHS holds the files that real_rain_grades.csv names. One person graded them by eye before
any output was looked at: light, medium or heavy, and whether rain or snow falls; none is dry. Each is
sensed as `crdnet sense` does it. Printed are the grades that agree, those two apart, the photographs
called NONE, and those that `crdnet derain` leaves alone; snow is counted apart.
"""

import csv
from pathlib import Path

import click

from crdnet import Derainer, RainDensity
from crdnet.data import read_rgb

GRADES = Path(__file__).with_name("real_rain_grades.csv")


@click.command(help=__doc__.splitlines()[0])
@click.argument("photographs", type=click.Path(path_type=Path))
@click.option("-m", "--model", default="default", show_default=True)
@click.option(
    "--grades", default=GRADES, type=click.Path(path_type=Path), help="Another list of grades."
)
def main(*, photographs: Path, model: str, grades: Path) -> None:
    derainer = Derainer(model)
    with grades.open(newline="") as file:
        rows = list(csv.DictReader(file))
    reports = {row["image"]: derainer.sense(read_rgb(photographs / row["image"])) for row in rows}
    for falls in ("rain", "snow"):
        graded = [
            (row["image"], RainDensity[row["grade"].upper()])
            for row in rows
            if row["falls"] == falls
        ]
        equal = far = 0
        missed, alone = [], []
        for name, by_eye in graded:
            report = reports[name]
            if report.density is None:
                raise click.UsageError(f"{model} senses no rain; choose a model that does")
            equal += report.density is by_eye
            far += abs(report.density - by_eye) >= 2
            missed += [name] if report.density is RainDensity.NONE else []
            alone += [name] if report.dry else []
        click.echo(
            f"{falls}: {len(graded)} photographs, grade equal {equal}, two apart or more {far}"
        )
        click.echo(f"  called NONE {len(missed)}: {' '.join(missed)}")
        click.echo(f"  left alone {len(alone)}: {' '.join(alone)}")


if __name__ == "__main__":
    main()
