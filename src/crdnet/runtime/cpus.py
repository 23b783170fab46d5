"""Number of CPUs that this process may use."""

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path, PurePosixPath

_CGROUP = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def count_cpus(cgroup: Path = _CGROUP, own: Path = _OWN) -> int:
    """Return the number of CPUs that affinity and control group quotas allow, at least 1.

    More threads would share the same cores and slow the network down.

    Args:
        cgroup: Mount point of the control groups, of version 1, 2, or both.
        own: File that lists the control groups of this process.
    """
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, min([allowed, *(ceil(granted) for granted in _list_grants(cgroup, own))]))


def _list_grants(cgroup: Path, own: Path) -> Iterator[float]:
    """Yield the number of CPUs that each limit of the process grants.

    The limits are those of its control groups and of their parents.
    """
    for path in _list_groups(own):
        for group in (path, *path.parents):
            inside = str(group).lstrip("/")
            # Version 2 alone, version 1, and version 2 beside version 1.
            for mounted in (cgroup, cgroup / "cpu", cgroup / "unified"):
                granted = _read_quota(mounted / inside)
                if granted is not None:
                    yield granted


def _list_groups(own: Path) -> set[PurePosixPath]:
    """Return the control groups of this process for the controller `cpu`, and the root.

    Inside a container, the root is the container's own group.
    """
    paths = {PurePosixPath("/")}
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return paths
    for line in lines:  # "4:cpu,cpuacct:/docker/1f" in version 1, "0::/user.slice" in version 2
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            paths.add(PurePosixPath(path))
    return paths


def _read_quota(group: Path) -> float | None:
    """Return the CPUs that a control group grants, or None if it sets no limit."""
    try:
        if (limit := group / "cpu.max").exists():  # version 2: "200000 100000" or "max 100000"
            granted, period = limit.read_text().split()
        else:  # version 1: -1 is no limit
            granted = (group / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu.cfs_period_us").read_text().strip()
        return float(granted) / float(period) if float(granted) > 0 else None
    except (OSError, ValueError):  # no such file, or "max"
        return None
