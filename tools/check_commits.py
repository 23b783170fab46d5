"""Check the subjects of commits: at most 72 characters, an imperative verb first, no full stop.

    python tools/check_commits.py [BASE]

The commits after BASE are checked, by default all since the introduction of the rule. A clone
without that commit (a shallow one, or an archive without history) has nothing to check.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FIRST_CHECKED = "914e84ad30ceb6f4d2906ce8dba6f99260fa4771"
LONGEST = 72
# Past tense, gerund or third person; "Pass" and "Address" are imperatives.
_NOT_IMPERATIVE = re.compile(r"^\w+(ed|ing|[^s]s)$")


def find_faults(subject: str) -> Iterator[str]:
    """Yield a description of each fault in the subject of a commit."""
    first = subject.split(" ", 1)[0]
    if len(subject) > LONGEST:
        yield f"{len(subject)} characters, at most {LONGEST}"
    if not first[:1].isupper() or _NOT_IMPERATIVE.match(first):
        yield f"begins with {first!r}; begin with an imperative verb, such as 'Add'"
    if subject.endswith("."):
        yield "ends with a full stop; leave it out"


def list_subjects(base: str) -> list[str]:
    """Return the subjects of the commits after a base; empty if it is not in the history."""
    command = ["git", "-C", str(REPOSITORY), "log", "--no-merges", "--format=%s", f"{base}..HEAD"]
    try:
        log = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return log.stdout.splitlines()


def main() -> int:
    """Print the faults of all subjects; return 1 if there are any."""
    base = sys.argv[1] if len(sys.argv) > 1 else FIRST_CHECKED
    faults = [
        f"{subject!r}: {fault}" for subject in list_subjects(base) for fault in find_faults(subject)
    ]
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
