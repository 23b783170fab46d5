"""Loading of a network of any kind with its weights."""

from pathlib import Path

from crdnet.errors import CheckpointError
from crdnet.nn.crdnet import CRDNet
from crdnet.nn.own import OwnNetwork
from crdnet.nn.residual import ResidualCRDNet
from crdnet.nn.sharing import SharedNetwork
from crdnet.nn.stored import StoredNetwork, read_stored

Network = CRDNet | ResidualCRDNet | OwnNetwork
KINDS: dict[str, type[SharedNetwork]] = {
    each.kind: each for each in (CRDNet, ResidualCRDNet, OwnNetwork)
}
"""Class of a network by the kind in its file."""


def load_network(source: str | Path, *, revision: str | None = None) -> Network:
    """Load a network with its weights, in evaluation mode.

    Args:
        source: Name of a shipped model (`default`, `paper`), path of a `.safetensors`, `.ckpt` or
            `.onnx` file, folder of `save_pretrained`, or `owner/name` on the hub (extra: hub).
        revision: Branch, tag or commit on the hub.

    Raises:
        CheckpointError: There is no such source, or it holds no network that this version knows.
    """
    stored = read_stored(source, revision=revision)
    return build_stored(stored)


def build_stored(stored: StoredNetwork) -> Network:
    """Build the network of `read_stored` with its weights."""
    if stored.kind not in KINDS:
        raise CheckpointError(
            f"{stored.source} holds a network of kind {stored.kind!r}, and this version knows "
            f"{', '.join(KINDS)}; use the version that trained it",
        )
    # A class is imported for files that were trained here, never for a downloaded folder.
    if stored.kind == OwnNetwork.kind and not Path(stored.source).is_file():
        raise CheckpointError(
            f"{stored.source} names a class to import, which crdnet does for files only; "
            "build the class yourself and load model.safetensors"
        )
    network = KINDS[stored.kind].from_stored(stored)
    assert isinstance(network, Network)
    return network
