"""Check of the sides of a batch."""

from torch import Tensor

from crdnet.errors import SizeError
from crdnet.sizes import round_up_size


def check_sides(rainy: Tensor, multiple: int) -> None:
    """Refuse a batch with sides that are not multiples of `multiple`.

    Raises:
        SizeError: A side is no multiple; the message has the size to pad to.
    """
    height, width = rainy.shape[-2:]
    if height % multiple or width % multiple:
        padded_height, padded_width = round_up_size(height, width, multiple)
        raise SizeError(
            f"CRDNet needs sides that are multiples of {multiple}, got {height} x {width}; "
            f"pad to {padded_height} x {padded_width} or call a Derainer, which pads for you"
        )
