"""Loading and sharing of networks with their weights: `from_pretrained` and `save_pretrained`."""

import json
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, TypeVar

from torch import nn

from crdnet.errors import CheckpointError, MissingExtraError
from crdnet.files import write_whole
from crdnet.nn.checkpoints import check_entries, save_weights
from crdnet.nn.stored import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE, StoredNetwork, read_stored

Shared = TypeVar("Shared", bound="SharedNetwork")


class SharedNetwork(nn.Module):
    """Network that loads from names, files, folders and the hub, and that saves to them.

    A folder has the layout of huggingface_hub: `config.json`, `model.safetensors` and the model
    card `README.md`. The arguments of our networks are modules, which the mixin of huggingface_hub
    cannot write as JSON; so only its transfers are used.
    """

    kind: ClassVar[str]
    """Kind of the network in stored files."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return the arguments that build this network, as plain types."""

    @classmethod
    @abstractmethod
    def build(cls: type[Shared], **arguments: Any) -> Shared:
        """Build a new network from the arguments of `describe`."""

    @classmethod
    def from_pretrained(
        cls: type[Shared], source: str | Path, *, revision: str | None = None
    ) -> Shared:
        """Load a network with its weights, in evaluation mode.

        Args:
            source: Name of a shipped model, path of a `.safetensors`, `.ckpt` or `.onnx` file,
                folder of `save_pretrained`, or `owner/name` on the hub (extra: hub).
            revision: Branch, tag or commit on the hub.

        Raises:
            CheckpointError: There is no such source, or it holds another network.
        """
        return cls.from_stored(read_stored(source, revision=revision))

    @classmethod
    def from_stored(cls: type[Shared], stored: StoredNetwork) -> Shared:
        """Build the network of `crdnet.nn.stored.read_stored`."""
        if stored.kind != cls.kind:
            raise CheckpointError(
                f"{stored.source} holds a network of kind {stored.kind!r}, not {cls.kind!r}; "
                "load it with crdnet.nn.load_network, which knows every kind"
            )
        try:
            network = cls.build(**stored.arguments)
        except TypeError as error:
            raise CheckpointError(
                f"{stored.source} does not describe a crdnet network: {error}"
            ) from error
        check_entries(stored.state, network.state_dict(), stored.source)
        network.load_state_dict(dict(stored.state))
        return network.eval()

    def save_pretrained(
        self, folder: str | Path, *, card: str | None = None, license_name: str = "other"
    ) -> Path:
        """Write the network into a folder that `from_pretrained` reads.

        Args:
            folder: Folder; files of an earlier save are replaced.
            card: Text of the model card: training data and its terms, scores, limits.
            license_name: Licence of the weights, an identifier of the hub.

        Returns:
            The folder.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(self, folder / WEIGHTS_FILE)
        about = {"kind": self.kind, "network": self.describe()}
        write_whole(folder / CONFIG_FILE, (json.dumps(about, indent=2) + "\n").encode())
        write_whole(folder / CARD_FILE, _write_card(about, card, license_name).encode())
        return folder

    def push_to_hub(
        self,
        name: str,
        *,
        private: bool = True,
        card: str | None = None,
        license_name: str = "other",
    ) -> str:
        """Upload the network to the Hugging Face hub (extra: hub), with your login of `hf auth`.

        Args:
            name: Repository, `owner/name`; made if it does not exist.
            private: Whether a new repository is private.
            card: See `save_pretrained`.
            license_name: See `save_pretrained`.

        Returns:
            Address of the upload.
        """
        try:
            from huggingface_hub import HfApi  # noqa: PLC0415 - only for the hub
        except ModuleNotFoundError as error:
            raise MissingExtraError("uploading to the hub", "hub") from error
        api = HfApi()
        api.create_repo(name, private=private, exist_ok=True)
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder, card=card, license_name=license_name)
            return str(api.upload_folder(repo_id=name, folder_path=folder))


def _write_card(about: Mapping[str, Any], card: str | None, license_name: str) -> str:
    text = card or "Training data and their terms: not stated."
    return f"""---
library_name: crdnet
pipeline_tag: image-to-image
license: {license_name}
tags: [deraining, rain-removal]
---

# Rain removal with crdnet

Network of kind `{about["kind"]}`.

{text}

```python
from crdnet.nn import load_network

network = load_network("OWNER/NAME")
```
"""
