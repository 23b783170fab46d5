"""Colour spaces stated without an ICC profile: by codes, or by gamma and chromaticities.

Sources: ITU-T H.273 (codes), PNG specification third edition (cICP, gAMA, cHRM), ICC.1:2022
(profiles), Lindbloom's description of Bradford adaptation.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Chromaticities = tuple[float, float, float, float, float, float, float, float]
"""x and y of white, red, green and blue."""

# White points x, y of ITU-T H.273, table 2.
_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
# Primaries x, y in the order red, green, blue; H.273 lists green first.
_BT601 = (0.630, 0.340, 0.310, 0.595, 0.155, 0.070)
SRGB_PRIMARIES: Chromaticities = (*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
_PRIMARIES: Mapping[int, tuple[str, Chromaticities]] = {
    1: ("BT.709", SRGB_PRIMARIES),
    4: ("BT.470 M", (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08)),
    5: ("BT.470 BG", (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06)),
    6: ("BT.601", (*_D65, *_BT601)),
    7: ("SMPTE 240M", (*_D65, *_BT601)),
    8: ("film", (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049)),
    9: ("BT.2020", (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)),
    11: ("DCI-P3", (*_DCI, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
    12: ("Display P3", (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
    22: ("EBU Tech 3213", (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077)),
}
# Codes of H.273: 2 is unspecified in each table, 1 are the primaries of BT.709, 13 is sRGB's
# transfer.
_UNSPECIFIED, _BT709, _SRGB = 2, 1, 13
# The inverse of BT.709's transfer as ICC's function of type 3: gamma, a, b, c, d.
_CAMERA_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
# Parametric curves of an ICC profile, by the codes of transfer functions.
_CURVES: Mapping[int, tuple[float, ...]] = {
    **dict.fromkeys((1, 6, 14, 15), _CAMERA_CURVE),
    4: (2.2,),
    5: (2.8,),
    7: (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0912),
    8: (1.0,),
    **dict.fromkeys((_UNSPECIFIED, _SRGB), (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)),
}
_TRANSFERS: Mapping[int, str] = {16: "PQ", 18: "HLG", 9: "logarithmic", 10: "logarithmic"}
# The gAMA chunk that the PNG specification gives for sRGB, 45455 of 100000.
_SRGB_GAMMA = 0.45455
# Differences of gamma and chromaticities that are rounding.
_CLOSE = 0.0015
# Cone responses of the Bradford adaptation, from Lindbloom.
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
# The illuminant of ICC's connection space, as its header stores it.
_D50 = np.array([0.9642, 1.0, 0.8249])


@dataclass(frozen=True)
class ColourSpace:
    """Colour space other than sRGB."""

    chromaticities: Chromaticities | None
    """Chromaticities of the colour space; None if its codes are not supported."""
    curve: tuple[float, ...] | None
    """Parameters of a parametric curve; None if a profile cannot hold the curve, as for HDR."""
    codes: tuple[int, int] | None = None
    """Codes of primaries and transfer (ITU-T H.273); None if the file has none."""

    @property
    def name(self) -> str:
        """Name of the colour space in messages."""
        if self.codes is None:
            return "of gamma and primaries"
        primaries, transfer = self.codes
        known = _PRIMARIES.get(primaries)
        told = known[0] if known else f"of primaries {primaries}"
        if transfer in _TRANSFERS:
            return f"{told} with {_TRANSFERS[transfer]}"
        return told if transfer in _CURVES else f"{told} with transfer {transfer}"


def build_space_of_codes(primaries: int, transfer: int) -> ColourSpace | None:
    """Return the colour space of codes; None for sRGB and if the codes are unspecified."""
    if primaries in (_BT709, _UNSPECIFIED) and transfer in (_SRGB, _UNSPECIFIED):
        return None
    known = _PRIMARIES.get(_BT709 if primaries == _UNSPECIFIED else primaries)
    return ColourSpace(known and known[1], _CURVES.get(transfer), (primaries, transfer))


def build_space_of_gamma(
    gamma: float | None, chromaticities: Chromaticities | None
) -> ColourSpace | None:
    """Return the colour space of an encoding gamma and chromaticities; None for sRGB."""
    found = chromaticities or SRGB_PRIMARIES
    is_usual_gamma = gamma is None or gamma <= 0 or abs(gamma - _SRGB_GAMMA) < _CLOSE
    near = max(abs(a - b) for a, b in zip(found, SRGB_PRIMARIES, strict=True)) < _CLOSE
    if is_usual_gamma and near:
        return None
    return ColourSpace(found, _CURVES[_SRGB] if is_usual_gamma or not gamma else (1 / gamma,))


def build_profile(space: ColourSpace, *, grey: bool) -> bytes:
    """Return an ICC profile of a colour space; empty if no profile can hold it."""
    if space.curve is None or space.chromaticities is None:
        return b""
    try:
        columns, adaptation = _compute_matrices(space.chromaticities)
    except (np.linalg.LinAlgError, ZeroDivisionError, OverflowError):
        return b""
    if not (np.isfinite(columns).all() and np.abs(columns).max() < 8):
        return b""
    curve = _pack_curve(space.curve)
    text = f"crdnet: {space.name}"
    tags = [(b"desc", _pack_text(text)), (b"cprt", _pack_text("CC0")), (b"wtpt", _pack_xyz(_D50))]
    tags.append((b"chad", b"sf32\0\0\0\0" + _pack_fixed(*adaptation.ravel())))
    if grey:
        tags.append((b"kTRC", curve))
    else:
        tags += [
            (name, _pack_xyz(columns[:, at])) for at, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))
        ]
        tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    return _pack_profile(b"GRAY" if grey else b"RGB ", tags)


def _compute_matrices(chromaticities: Chromaticities) -> tuple[np.ndarray, np.ndarray]:
    """Return the XYZ of the primaries as columns, adapted to D50, and the adaptation matrix."""
    x, y = np.array(chromaticities[::2]), np.array(chromaticities[1::2])
    if (y <= 0).any():
        raise ZeroDivisionError
    white, *primaries = np.stack((x / y, np.ones(4), (1 - x - y) / y), axis=1)
    columns = np.array(primaries).T
    columns = columns * np.linalg.solve(columns, white)
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adaptation = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD
    return adaptation @ columns, adaptation


def _pack_curve(curve: tuple[float, ...]) -> bytes:
    # Function type 0 is a plain gamma, 3 has a linear part (ICC.1, parametricCurveType).
    kind = 0 if len(curve) == 1 else 3
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + _pack_fixed(*curve)


def _pack_text(text: str) -> bytes:
    coded = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(coded), 28) + coded


def _pack_xyz(value: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + _pack_fixed(*value)


def _pack_fixed(*values: float) -> bytes:
    # s15Fixed16Number.
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _pack_profile(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    table, values, places = b"", b"", dict[bytes, int]()
    begin = 128 + 4 + 12 * len(tags)
    for name, value in tags:
        if value not in places:
            places[value] = begin + len(values)
            values += value + b"\0" * (-len(value) % 4)
        table += name + struct.pack(">II", places[value], len(value))
    size = begin + len(values)
    head = struct.pack(">I4sI4s4s4s12x4s", size, b"", 0x04300000, b"mntr", space, b"XYZ ", b"acsp")
    head = (head + bytes(28) + _pack_fixed(*_D50)).ljust(128, b"\0")
    return head + struct.pack(">I", len(tags)) + table + values
