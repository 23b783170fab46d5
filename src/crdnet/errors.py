"""The errors that crdnet raises: one small tree.

Every message names what came in, the rule it broke, and what to do. Only the command line turns an error into
an exit code, and only a server turns one into a status.
"""


class CRDNetError(Exception):
    """Base of everything that crdnet raises on purpose."""


class SizeError(CRDNetError, ValueError):
    """A picture or tensor has sides that the operation cannot take."""


class ImageError(CRDNetError, ValueError):
    """A picture cannot be read, or holds something that cannot be derained."""


class NotAPictureError(ImageError):
    """What was given is none of the kinds of picture that are read."""


class OutputError(CRDNetError, OSError):
    """A result cannot be written, or would replace something it must not."""


class ModelError(CRDNetError, ValueError):
    """A model is unknown, is not one of ours, or does not do what its metadata says."""


class CheckpointError(CRDNetError, ValueError):
    """Weights are missing, misshapen, or belong to another network."""


class DataError(CRDNetError, ValueError):
    """A data set, or a pair in it, is not what its layout promises."""


class VideoError(CRDNetError, ValueError):
    """A clip cannot be read, or holds something that would be lost."""


class RecipeError(CRDNetError, ValueError):
    """A recipe, or an option of `crdnet train`, is not understood or out of its range."""


class TrainingError(CRDNetError, RuntimeError):
    """A training run cannot go on."""


class DeviceError(CRDNetError, RuntimeError):
    """A device was asked for that is not there."""


class MissingExtraError(CRDNetError, ImportError):
    """A feature needs packages that are not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs packages that are not installed; run: pip install 'crdnet[{extra}]'"
        )
