"""The command line: parse, one call of the public API, format.

Progress and logs go to stderr, results to stdout. Exit codes: 0 all done; 1 some inputs failed,
each named; 2 wrong usage; 130 interrupted.
"""

from crdnet.cli.main import main

__all__ = ["main"]
