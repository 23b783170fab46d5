import json
from collections.abc import Callable

import pytest

from crdnet.errors import RecipeError
from crdnet.rain import (
    Haze,
    LineStreaks,
    NoiseStreaks,
    PhotorealStreaks,
    RainSpec,
    choose_rain_scale,
)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: LineStreaks(0.0, 20.0, 1.0), "per_megapixel"),
        (lambda: LineStreaks(60_000.0, 20.0, 1.0), "per_megapixel"),
        (lambda: LineStreaks(100.0, 7.9, 1.0), "length"),
        (lambda: LineStreaks(100.0, 200.1, 1.0), "length"),
        (lambda: LineStreaks(100.0, 20.0, 0.4), "width"),
        (lambda: LineStreaks(100.0, 20.0, 8.1), "width"),
        (lambda: LineStreaks(100.0, 20.0, 1.0, 91.0), "angle_degrees"),
        (lambda: LineStreaks(100.0, 20.0, 1.0, 0.0, -1.0), "angle_spread_degrees"),
        (lambda: LineStreaks(100.0, 20.0, 1.0, sharpness=1.1), "sharpness"),
        (lambda: LineStreaks(100.0, 20.0, 1.0, brightness=float("nan")), "brightness"),
        (lambda: LineStreaks(100.0, 20.0, 1.0, variation=1.0), "variation"),
        (lambda: NoiseStreaks(1.1, 20.0), "level"),
        (lambda: NoiseStreaks(0.5, 20.0, angle_degrees=46.0), "angle_degrees of noise"),
        (lambda: PhotorealStreaks(chains=0), "chains"),
        (lambda: PhotorealStreaks(chains=4), "chains"),
        (lambda: PhotorealStreaks(rotation_degrees=9.1), "rotation_degrees"),
        (lambda: PhotorealStreaks(shear=0.1), "shear"),
        (lambda: PhotorealStreaks(zoom=0.9), "zoom"),
        (lambda: Haze(beta=-0.1), "beta"),
        (lambda: Haze(beta=0.1, airlight=1.1), "airlight"),
        (lambda: RainSpec(blend=1.1), "blend"),
        (lambda: RainSpec(gain=4.1), "gain"),
        (lambda: RainSpec(blur_pixels=9.0), "blur_pixels"),
        (lambda: RainSpec(scale=0.0), "scale"),
    ],
)
def test_a_spec_out_of_its_range_is_refused_by_name(make: Callable[[], object], named: str) -> None:
    with pytest.raises(RecipeError, match=f"^{named} of rain lies in "):
        make()


def test_a_spec_can_be_written_down() -> None:
    spec = RainSpec((LineStreaks(100.0, 20.0, 1.0), NoiseStreaks(0.5, 20.0)), haze=Haze(0.2))
    written = json.loads(json.dumps(spec.as_dict()))
    assert [layer["kind"] for layer in written["layers"]] == ["LineStreaks", "NoiseStreaks"]
    assert written["layers"][0]["length"] == 20.0
    assert written["haze"] == {"beta": 0.2, "airlight": 0.8}


@pytest.mark.parametrize(
    ("size", "scale"),
    [((333, 500), 1.0), ((40, 60), 1.0), ((4000, 3000), 8.0), ((9000, 9000), 16.0)],
)
def test_scale_belongs_to_the_longer_side(size: tuple[int, int], scale: float) -> None:
    assert choose_rain_scale(*size) == scale
