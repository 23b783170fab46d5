"""The benchmark of rain of several sizes compares the scales on the same image."""

import shutil
from pathlib import Path

from benchmarks.quality.streaks import ENLARGEMENTS, main
from click.testing import CliRunner

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_no_scale_gains_more_than_the_best(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "clean" / "light.jpg", tmp_path)
    result = CliRunner().invoke(main, ["sizes", str(tmp_path), "--every", "1"])
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines() if " times " in line]
    assert [float(row[0]) for row in rows] == list(ENLARGEMENTS)
    for *_, full, chosen, best in rows:
        assert max(float(full), float(chosen)) <= float(best)
    full, best = rows[-1][3], rows[-1][5]
    assert float(full) < float(best), "rain eight times as large is removed best at a smaller scale"
