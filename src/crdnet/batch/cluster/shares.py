"""Working on chunks in this process, without Ray."""

from collections.abc import Iterable, Iterator
from threading import Event

from crdnet.batch.cluster.counts import Tally
from crdnet.batch.cluster.worker import Chunk, Task, Worker


def run_here(task: Task, chunks: Iterable[Chunk], stopped: Event) -> Iterator[Tally]:
    """Yield the counts of chunks as they are finished.

    Args:
        task: The job.
        chunks: What to work on.
        stopped: Once set, the images in work are finished and no other is begun.
    """
    with Worker(task, stopped) as worker:
        for chunk in chunks:
            if stopped.is_set():
                return
            yield worker.run(chunk)
