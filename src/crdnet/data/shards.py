"""Pairs in tar files of the WebDataset layout: `KEY.rainy.png` beside `KEY.clean.png`.

A member of a tar is addressed as a path below it, `shard.tar/KEY.rainy.png`, so pairs in shards
load like files, in any order.
"""

import json
from collections import defaultdict
from pathlib import Path

from crdnet.data.loading import Pair
from crdnet.data.matching import Found
from crdnet.data.problems import DataProblem, ProblemKind
from crdnet.data.tar_members import index_members, read_member
from crdnet.density import RainDensity
from crdnet.errors import DataError

RAINY_ROLES = ("rainy", "input", "lq", "rain")
CLEAN_ROLES = ("clean", "target", "gt", "norain")


def list_shards(root: Path) -> list[Path]:
    """Return the shards at a path: a tar file, or the tar files of a folder without others."""
    if root.suffix == ".tar" and root.is_file():
        return [root]
    if root.is_dir():
        return sorted(root.glob("*.tar"))
    return []


def find_in_shards(shards: list[Path]) -> Found:
    """Return the pairs of shards; members without a partner become problems.

    The density is that of `KEY.json` (`{"density": "heavy"}`), else it is measured.
    """
    found = Found()
    for shard in shards:
        members: dict[str, dict[str, str]] = defaultdict(dict)
        labels: dict[str, RainDensity | None] = {}
        for name in index_members(shard):
            folder, _, file = name.rpartition("/")
            key, _, extension = file.partition(".")
            key = f"{folder}/{key}" if folder else key
            role = extension.split(".")[0].casefold()
            if extension == "json":
                labels[key] = _parse_label(shard, name)
            elif role in RAINY_ROLES:
                members[key]["rainy"] = name
            elif role in CLEAN_ROLES:
                members[key]["clean"] = name
            else:
                found.aside.append(f"{shard.name}/{name}")
        for key, roles in members.items():
            if len(roles) == 2:
                rainy, clean = shard / roles["rainy"], shard / roles["clean"]
                name = f"{shard.name}/{roles['rainy']}"
                scene = f"{shard.name}/{key}"
                found.pairs.append(Pair(name, scene, rainy, clean, labels.get(key)))
            else:
                (alone,) = roles.values()
                reason = "has no partner in its shard; a sample has a rainy and a clean image"
                problem = DataProblem(shard / alone, ProblemKind.MISSING_PARTNER, reason)
                found.problems.append(problem)
    return found


def _parse_label(shard: Path, name: str) -> RainDensity | None:
    try:
        density = json.loads(read_member(shard, name)).get("density")
        return None if density is None else RainDensity[str(density).upper()]
    except (ValueError, KeyError, AttributeError):
        raise DataError(
            f"{shard}/{name}: holds no density of none, light, medium or heavy"
        ) from None
