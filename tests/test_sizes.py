"""Padding and cutting agree with the reflection of numpy."""

import numpy as np
from hypothesis import given
from hypothesis.strategies import integers

from crdnet.sizes import cut_reflected_window, pad_to_multiple, reflect_border, round_up_size


def number_samples(height: int, width: int) -> np.ndarray:
    return np.arange(height * width * 3, dtype=np.float32).reshape(height, width, 3)


@given(height=integers(1, 70), width=integers(1, 70), multiple=integers(1, 40))
def test_cropping_undoes_padding(height: int, width: int, multiple: int) -> None:
    image = number_samples(height, width)
    padded = pad_to_multiple(image, multiple)
    assert padded.shape[:2] == round_up_size(height, width, multiple)
    assert padded.shape[0] % multiple == padded.shape[1] % multiple == 0
    assert max(padded.shape[0] - height, padded.shape[1] - width) < multiple
    np.testing.assert_array_equal(padded[:height, :width], image)


@given(height=integers(1, 40), width=integers(1, 40), multiple=integers(1, 64))
def test_padding_agrees_with_the_reflection_of_numpy(
    height: int, width: int, multiple: int
) -> None:
    image = number_samples(height, width)
    after = [
        (0, padded - side)
        for padded, side in zip(
            round_up_size(height, width, multiple),
            (height, width),
            strict=True,
        )
    ]
    np.testing.assert_array_equal(
        pad_to_multiple(image, multiple), np.pad(image, [*after, (0, 0)], mode="reflect")
    )


@given(top=integers(0, 30), left=integers(0, 30), rows=integers(1, 20), columns=integers(1, 20))
def test_a_window_is_cut_from_the_endless_reflection(
    top: int,
    left: int,
    rows: int,
    columns: int,
) -> None:
    image = number_samples(13, 9)
    whole = np.pad(image, [(0, 60), (0, 60), (0, 0)], mode="reflect")
    window = cut_reflected_window(image, slice(top, top + rows), slice(left, left + columns))
    np.testing.assert_array_equal(window, whole[top : top + rows, left : left + columns])


@given(height=integers(1, 16), width=integers(1, 16))
def test_a_border_is_reflected_in_place(height: int, width: int) -> None:
    image = np.random.default_rng(0).random((height, width, 2))
    planes = np.full((2, 16, 16), np.nan)
    planes[:, :height, :width] = image.transpose(2, 0, 1)
    reflect_border(planes, height, width)
    window = cut_reflected_window(image, slice(0, 16), slice(0, 16))
    assert np.array_equal(planes, window.transpose(2, 0, 1))


def test_a_window_within_a_grey_image_costs_no_copy() -> None:
    image = np.zeros((10, 10), np.uint8)
    assert np.shares_memory(cut_reflected_window(image, slice(2, 5), slice(0, 10)), image)
