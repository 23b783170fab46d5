"""Options of a cluster job."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from crdnet.errors import ArgumentError
from crdnet.pipeline import DerainOptions

Only = Literal["dry", "rainy"]
_SHARD = re.compile(r"([0-9]+)/([0-9]+)")
_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(%?)")


@dataclass(frozen=True)
class JobOptions:
    """Options of `run_job`: model, workers, and the inputs to take.

    Raises:
        ArgumentError: A value is out of its range, or two contradict each other.
    """

    model: str | Path = "default"
    """Model; see `crdnet.Derainer` for this and the next two. A file is sent to the workers."""
    device: str = "auto"
    tile: int | Literal["auto"] = "auto"
    jobs: int = 2
    """Number of simultaneous images in each worker; they share one network."""
    sense_only: bool = False
    """If True, only sense the density and write no images."""
    only: Only | None = None
    """Select only dry images, or only images with rain. Without `sense_only`, the others get no
    output; with it, the selected inputs are written to `<only>.parquet`, a list for another job."""
    webdataset: bool = False
    """If True, inputs and outputs are tar files, and the images in them are derained."""
    address: str | None = None
    """Address of a Ray cluster: `auto` is the cluster of this machine, or a new one; `local` a new
    one on this machine; or `ray://HOST:PORT`."""
    shard: str | None = None
    """`K/N`: process the K-th of N shares of the inputs without Ray, K from 1."""
    workers: int | None = None
    """Number of Ray workers; None starts as many as fit on the cluster."""
    cpus_per_worker: int = 1
    """Number of CPUs, and of threads, of one Ray worker."""
    gpus_per_worker: float = 0.0
    """Number of GPUs of one Ray worker."""
    limit: int | None = None
    """Number of inputs to process, the first of the manifest; None is all."""
    dry_run: bool = False
    """If True, list the inputs only and write nothing."""
    max_failures: str | None = None
    """Stop early if more inputs fail than this: a number, or a share such as `1%`."""
    metrics_port: int | None = None
    """Port at which the driver serves counters for Prometheus; None serves none."""
    uri_column: str = "uri"
    """Column of a list with the addresses of the images."""
    id_column: str = "id"
    """Column of a list with the names of the outputs; it may be absent."""
    derain: DerainOptions = field(default_factory=DerainOptions)
    """Options of deraining each image. For `sense_only` only its `max_pixels` counts."""

    def __post_init__(self) -> None:
        for name in ("jobs", "workers", "cpus_per_worker", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ArgumentError(f"`{name}` must be at least 1, got {value}")
        if self.gpus_per_worker < 0:
            raise ArgumentError(f"`gpus_per_worker` must be at least 0, got {self.gpus_per_worker}")
        if self.shard is not None and self.address is not None:
            raise ArgumentError(
                "`shard` works without Ray and `address` names a Ray cluster; give one of them"
            )
        if self.webdataset and (self.sense_only or self.only or self.derain.format):
            raise ArgumentError(
                "`webdataset` derains all images of a tar file in their own formats; omit "
                "`sense_only`, `only` and other formats"
            )
        self.parse_shard()
        self.count_allowed_failures(0)

    def parse_shard(self) -> tuple[int, int]:
        """Return the index of this share, from 0, and the number of shares."""
        if self.shard is None:
            return 0, 1
        match = _SHARD.fullmatch(self.shard)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ArgumentError(
                f"`shard` must be K/N with K from 1 to N, such as 3/16, got {self.shard!r}"
            )
        return int(match[1]) - 1, int(match[2])

    def count_allowed_failures(self, inputs: int) -> int | None:
        """Return the number of inputs that may fail; None is all.

        Args:
            inputs: Number of inputs of the run.
        """
        if self.max_failures is None:
            return None
        match = _SHARE.fullmatch(self.max_failures)
        if match is None or (match[2] and float(match[1]) > 100):
            raise ArgumentError(
                "`max_failures` must be a number of inputs, or a share such as 1%, got "
                f"{self.max_failures!r}"
            )
        if match[2]:
            return int(inputs * float(match[1]) / 100)
        if "." in match[1]:
            raise ArgumentError(
                f"`max_failures` {self.max_failures} is not a whole number; a share must end in %"
            )
        return int(match[1])
