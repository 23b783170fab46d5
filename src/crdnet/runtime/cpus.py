"""How many processors this process may really use."""

import os
from math import ceil
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_cpus(cgroup: Path = _CGROUP) -> int:
    """Return the number of processors that affinity and the container's quota leave us, at least 1.

    More threads than that make a network slower, not faster: they take turns on the same cores.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return max(1, allowed if quota is None else min(allowed, ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    """Return the processors that the control group grants, or None where it sets no limit."""
    try:
        if (limit := cgroup / "cpu.max").exists():  # version 2: "200000 100000" or "max 100000"
            granted, period = limit.read_text().split()
        else:  # version 1: -1 is no limit
            granted = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        return float(granted) / float(period) if float(granted) > 0 else None
    except (OSError, ValueError):  # no such file, or "max"
        return None
