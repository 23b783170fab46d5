"""Processing of chunks in this process, without Ray."""

from collections.abc import Iterable, Iterator
from threading import Event

from crdnet.batch.cluster.counts import Tally
from crdnet.batch.cluster.worker import Chunk, Task, Worker


def run_here(task: Task, chunks: Iterable[Chunk], stopped: Event) -> Iterator[Tally]:
    """Process chunks, and yield the counts of each when it is finished.

    Args:
        task: Description of the job.
        chunks: Chunks to process.
        stopped: Once set, running images finish and no other starts.
    """
    with Worker(task, stopped) as worker:
        for chunk in chunks:
            if stopped.is_set():
                return
            yield worker.run(chunk)
