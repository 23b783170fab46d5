"""Every hand-written parser on changed bytes returns, or raises the error that it documents."""

import os

import numpy as np
import pytest

from tests.images.parsers import PARSERS

INPUTS = int(os.environ.get("CRDNET_MUTATED_FILES", "210")) * 2
"""Mutated inputs for each parser; `make soak` tries more."""
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFF0)


def mutated(content: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """The content with a few changes of the kinds that parsers stumble over."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        if not changed:
            break
        # Headers hold most of what is parsed.
        reach = len(changed) if rng.random() < 0.5 else min(len(changed), 200)
        place = int(rng.integers(reach))
        match rng.integers(7):
            case 0:
                changed[place] = rng.integers(256)
            case 1:
                changed[place] ^= 1 << rng.integers(8)
            case 2:
                size, order = (
                    int(rng.choice([1, 2, 4, 8])),
                    "big" if rng.random() < 0.5 else "little",
                )
                value = int(rng.choice(EXTREMES)) % 256**size
                changed[place : place + size] = value.to_bytes(size, order)
            case 3:
                del changed[place:]
            case 4:
                del changed[place : place + int(rng.integers(1, 40))]
            case 5:
                begin = int(rng.integers(len(changed)))
                changed[place:place] = changed[begin : begin + int(rng.integers(1, 80))]
            case _:
                begin = int(rng.integers(len(other)))
                changed[place : place + 40] = other[begin : begin + 40]
    return bytes(changed)


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_returns_or_raises_the_error_that_it_states(name: str) -> None:
    parse, seeds = PARSERS[name]
    rng = np.random.default_rng(17)
    for number in range(INPUTS):
        content = seeds[number % len(seeds)]
        other = seeds[int(rng.integers(len(seeds)))]
        broken = mutated(content, other, rng)
        try:
            parse(broken)
        except ValueError:
            continue
        except Exception as error:  # the input is what one needs to mend it
            raise AssertionError(f"{name} raised {error!r} on {broken!r}") from error
