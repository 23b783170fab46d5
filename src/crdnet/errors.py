"""Exception classes of crdnet, in one small tree.

Every message names the input, the rule that it broke, and a remedy. Only the command line turns an
error into an exit code, and only the server turns one into a status.
"""


class CRDNetError(Exception):
    """Base of all errors that crdnet raises on purpose."""


# Each error also has a built-in base, so that callers can catch it without knowing crdnet.


class ArgumentError(CRDNetError, ValueError):
    """Arguments that are out of range, contradict each other, or name no possible output."""


class SizeError(CRDNetError, ValueError):
    """Sides of an image or tensor that the operation cannot take."""


class ImageError(CRDNetError, ValueError):
    """Image that cannot be read, or whose content cannot be derained."""


class NotAnImageError(ImageError):
    """Input in none of the image formats that are read."""


class OutputError(CRDNetError, OSError):
    """Output that cannot be written, or would replace a file that it must not replace."""


class StoreError(CRDNetError, OSError):
    """Folder, bucket or cluster that cannot be reached, listed or read."""


class ModelError(CRDNetError, ValueError):
    """Model that is unknown, is not a crdnet model, or contradicts its metadata."""


class CheckpointError(CRDNetError, ValueError):
    """Weights that are missing, have the wrong shape, or belong to another network."""


class DataError(CRDNetError, ValueError):
    """Data set, or a pair in it, that does not match its layout."""


class VideoError(CRDNetError, ValueError):
    """Clip that cannot be read, or whose content would be lost."""


class RecipeError(CRDNetError, ValueError):
    """Recipe, or option of `crdnet train`, that is unknown or out of range."""


class TrainingError(CRDNetError, RuntimeError):
    """Training run that cannot continue."""


class DeviceError(CRDNetError, RuntimeError):
    """Device that is unknown or not available."""


class MissingExtraError(CRDNetError, ImportError):
    """Feature whose packages are not installed.

    Args:
        feature: Start of the message, such as "reading a clip".
        extra: Extra of crdnet that brings the packages.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs packages that are not installed; run: pip install 'crdnet[{extra}]'"
        )
