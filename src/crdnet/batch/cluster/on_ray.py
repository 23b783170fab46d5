"""Processing of chunks on a Ray cluster, with Ray Data.

Workers receive only numbers of chunks and return only counts, so that the object store of Ray stays
empty. A worker is an actor with one model and one thread per CPU. If a worker or node dies, Ray
repeats its chunk.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pickle import dumps, loads
from threading import Event
from typing import Any

from crdnet.batch.cluster.counts import Tally
from crdnet.batch.cluster.faults import describe_fault
from crdnet.batch.cluster.worker import Chunk, Task, Worker
from crdnet.errors import CRDNetError, MissingExtraError, StoreError

_MOST_BLOCKS = 20_000
_OBJECT_STORE_BYTES = 200_000_000


def run_on_ray(task: Task, chunks: list[Chunk], stopped: Event) -> Iterator[Tally]:
    """Process chunks on Ray, and yield the counts of each when it is finished, in any order.

    Args:
        task: Description of the job; its options name the cluster and size the workers.
        chunks: Chunks to process.
        stopped: Once set, the workers end and leave unfinished chunks.

    Raises:
        MissingExtraError: Ray is not installed.
        StoreError: The cluster cannot be reached, or a worker cannot continue.
    """
    try:
        import ray  # noqa: PLC0415 - takes seconds
        import ray.data  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("`crdnet batch` on Ray", "cluster") from error
    with _connect(ray, task.options.address):
        dataset = _make_dataset(ray, task, chunks)
        try:
            for batch in dataset.iter_batches(batch_size=None, prefetch_batches=0):
                for content in batch["tally"]:
                    result = loads(content)
                    if isinstance(result, str):
                        raise StoreError(f"a worker stopped: {result}")
                    yield result
                if stopped.is_set():
                    return
        except ray.exceptions.RayError as error:
            raise StoreError(
                f"the job stopped: {describe_fault(error)[-300:]}; repeat the command to resume"
            ) from error


class DerainImages:
    """Operator of Ray Data that derains chunks; the dashboard shows its name."""

    def __init__(self, task: Task) -> None:
        os.environ.setdefault("OMP_NUM_THREADS", str(task.threads))
        self._task = task

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Process a batch of chunks."""
        return {"tally": [dumps(self._run(content)) for content in batch["chunk"]]}

    def _run(self, content: bytes) -> Tally | str:
        # Returned as a result, because Ray would retry without end and wrap it in its own error.
        try:
            return self._worker.run(loads(content))
        except CRDNetError as error:
            return str(error)

    @cached_property
    def _worker(self) -> Worker:
        return Worker(self._task)


class SenseImages(DerainImages):
    """Operator of Ray Data that senses chunks."""


def _make_dataset(ray: Any, task: Task, chunks: list[Chunk]) -> Any:
    options = task.options
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.resource_limits = context.execution_options.resource_limits.copy(
        object_store_memory=_OBJECT_STORE_BYTES
    )
    context.execution_options.preserve_order = False
    blocks = min(len(chunks), _MOST_BLOCKS)
    rows = [{"chunk": dumps(chunk)} for chunk in chunks]
    dataset = ray.data.from_items(rows, override_num_blocks=blocks)
    resources: dict[str, Any] = {"num_cpus": options.cpus_per_worker}
    if options.gpus_per_worker:
        resources["num_gpus"] = options.gpus_per_worker
    if options.workers is None:
        room = int(ray.cluster_resources().get("CPU", 1) // options.cpus_per_worker)
        most = max(1, min(room, blocks))
        compute = ray.data.ActorPoolStrategy(min_size=1, max_size=most, initial_size=most)
    else:
        compute = ray.data.ActorPoolStrategy(size=min(options.workers, blocks))
    return dataset.map_batches(
        SenseImages if options.sense_only else DerainImages,
        fn_constructor_args=(task,),
        batch_size=1,
        compute=compute,
        **resources,
    )


@contextmanager
def _connect(ray: Any, address: str | None) -> Iterator[None]:
    """Connect to a cluster, or start one on this machine for the duration of the job."""
    if ray.is_initialized():  # by the caller
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _start(ray, address, quiet)
    except Exception as error:  # Ray's errors here have no common base class
        raise StoreError(
            f"the Ray cluster {address or 'auto'} cannot be used: {describe_fault(error)[:300]}; "
            "check the address, and that the versions of Ray and Python are those of the cluster"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _start(ray: Any, address: str | None, quiet: dict[str, Any]) -> None:
    # Ray gives a node 30 s to start, which a busy machine exceeds.
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")
    local = {"address": "local", "include_dashboard": False, **quiet}
    if address == "local":
        ray.init(**local)
        return
    try:
        ray.init(address=address or "auto", **quiet)
    except ConnectionError:
        if address not in (None, "auto") or "RAY_ADDRESS" in os.environ:
            raise
        ray.init(**local)
