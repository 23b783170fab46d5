import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crdnet.runtime.cpus import count_cpus
from tests.waiting import HANG_SECONDS


@pytest.fixture
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.usefixtures("eight_cpus")
@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("1000 100000", 1),
        ("nonsense", 8),
    ],
)
def test_a_containers_quota_counts(tmp_path: Path, text: str, cpus: int) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert count_cpus(tmp_path) == cpus


@pytest.mark.usefixtures("eight_cpus")
@pytest.mark.parametrize(("quota", "cpus"), [("-1", 8), ("300000", 3)])
def test_an_older_containers_quota_counts_too(tmp_path: Path, quota: str, cpus: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert count_cpus(tmp_path) == cpus


@pytest.mark.usefixtures("eight_cpus")
def test_without_a_quota_affinity_counts(tmp_path: Path) -> None:
    assert count_cpus(tmp_path) == 8


@pytest.mark.usefixtures("eight_cpus")
@pytest.mark.parametrize(
    ("own", "limited", "limits", "cpus"),
    [
        (
            "0::/app/worker\n",
            "app",
            {"cpu.max": "50000 100000"},
            1,
        ),  # half a core, set on the group around ours
        ("0::/app/worker\n", "app/worker", {"cpu.max": "250000 100000"}, 3),
        ("0::/app\n", "other", {"cpu.max": "100000 100000"}, 8),
        (
            "4:memory:/else\n2:cpu,cpuacct:/docker/1f\n0::/\n",
            "cpu/docker/1f",
            {"cpu.cfs_quota_us": "50000\n", "cpu.cfs_period_us": "100000\n"},
            1,
        ),
        ("1:cpu:/\n0::/app\n", "unified/app", {"cpu.max": "200000 100000"}, 2),
    ],
)
def test_the_quota_of_our_own_group_and_of_those_around_it_counts(
    tmp_path: Path, own: str, limited: str, limits: dict[str, str], cpus: int
) -> None:
    (tmp_path / "own").write_text(own)
    (tmp_path / "cgroup" / limited).mkdir(parents=True)
    for name, text in limits.items():
        (tmp_path / "cgroup" / limited / name).write_text(text)
    assert count_cpus(tmp_path / "cgroup", tmp_path / "own") == cpus


@pytest.fixture
def half_a_core() -> Iterator[Path]:
    """A group that a process can put itself into, where we may make one; version 1."""
    group = Path(f"/sys/fs/cgroup/cpu/crdnet-test-{os.getpid()}")
    try:
        group.mkdir()
        (group / "cpu.cfs_quota_us").write_text("50000")
    except OSError as error:
        pytest.skip(f"control groups of version 1 cannot be made here: {error}")
    yield group
    group.rmdir()


def test_a_real_group_of_half_a_core_is_one_thread(half_a_core: Path) -> None:
    code = (
        "import os, sys\n"
        "open(sys.argv[1] + '/cgroup.procs', 'w').write(str(os.getpid()))\n"
        "from crdnet.runtime.cpus import count_cpus\n"
        "print(count_cpus())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, half_a_core],
        capture_output=True,
        text=True,
        check=True,
        timeout=HANG_SECONDS,
    )
    assert done.stdout == "1\n"
