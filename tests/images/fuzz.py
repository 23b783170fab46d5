"""Fuzz one or all hand-written parsers with atheris, which keeps inputs that reach new code.

    python -m tests.images.fuzz tiff -max_total_time=600
    python -m tests.images.fuzz all -max_total_time=600

An input that breaks a law, takes more than 10 seconds or more than 2 GB ends the run and is written
to `crash-...`; add it, or what it shows, to the tests. Options are those of libFuzzer. Needs
atheris, which is no dependency of the project: `pip install atheris`, on Linux.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-untyped]  # it has no types

with atheris.instrument_imports(include=["crdnet.images"]):
    from tests.images.parsers import PARSERS

_LIMITS = ("-timeout=10", "-rss_limit_mb=2048", "-max_len=20000")


def main() -> None:
    name, *options = sys.argv[1:]
    if name == "all":  # a run ends its process
        for each in PARSERS:
            subprocess.run([sys.executable, "-m", "tests.images.fuzz", each, *options], check=True)
        return
    parse, seeds = PARSERS[name]

    def run(content: bytes) -> None:
        try:
            parse(content)
        except ValueError:
            return

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds):
            Path(corpus, str(number)).write_bytes(seed)
        atheris.Setup([sys.argv[0], *_LIMITS, *options, corpus], run)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
