"""Model opened on an engine, whose answers are checked against the metadata."""

from threading import Lock, Semaphore

from crdnet.errors import CRDNetError, ModelError
from crdnet.runtime.cpus import count_cpus
from crdnet.runtime.engines import Answer, Floats, Run, open_engine, take_first_line
from crdnet.runtime.store import StoredModel


class Session:
    """Model opened for running. It is thread-safe and limits the number of simultaneous runs.

    Args:
        model: The model file.
        device: One of `DEVICES`; `auto` is the fastest that works on this machine.
        threads: Number of threads for one call.

    Raises:
        ModelError: The file is damaged or is not a crdnet model.
        DeviceError: The device is unknown or not available.
    """

    def __init__(self, model: StoredModel, device: str, threads: int) -> None:
        self._source = str(model.path)
        # More simultaneous runs than the CPUs can serve take longer, and each needs its own memory.
        turns = max(1, count_cpus() // threads)
        self.device, self._engine = open_engine(model, device, threads, turns)
        self.engine = self._engine.name
        """Engine with version and precision, such as "onnxruntime 1.31.1, float32"."""
        self.info = self._engine.info
        self.senses = self._engine.senses
        """True if the model senses the intensity of the rain."""
        self._running: set[Run] = set()
        self._lock = Lock()
        self._halted = False
        self._turn = Semaphore(turns)

    def __call__(self, rainy: Floats) -> Answer:
        """Run the network.

        Args:
            rainy: Colours (h, w, 3) in [0, 1]; both sides are multiples of the size multiple.

        Raises:
            ModelError: The network fails, or its output has the wrong shape.
            CRDNetError: `stop` was called.
        """
        run = self._engine.begin()
        with self._lock:
            if self._halted:
                raise CRDNetError("stopped before the image was done")
            self._running.add(run)
        try:
            with self._turn:
                answer = run(rainy)
        except Exception as error:  # the errors of engines have no common base class
            if run.stopped:
                raise CRDNetError("stopped before the image was done") from error
            raise ModelError(
                f"{self._source} failed on {_format_size(rainy)}: {take_first_line(error)}"
            ) from error
        finally:
            with self._lock:
                self._running.discard(run)
        self._check(answer, rainy)
        return answer

    def abandon(self) -> None:
        """Never free the session's resources.

        In a forked child, freeing them would wait for threads that exist only in the parent.
        """
        self._engine.abandon()

    def shrink(self) -> None:
        """Return the memory that a large image took to the system."""
        self._engine.shrink()

    def stop(self) -> None:
        """Abort the running calls at the next layer; each raises an error."""
        with self._lock:
            for run in self._running:
                run.stop()

    def halt(self) -> None:
        """Stop the running calls, and make every later one raise an error until `resume`.

        An image takes many calls, and the work between them does not notice `stop`.
        """
        with self._lock:
            self._halted = True
        self.stop()

    def resume(self) -> None:
        """Accept calls again after `halt`."""
        self._halted = False

    def _check(self, answer: Answer, rainy: Floats) -> None:
        if answer.derained.shape != rainy.shape:
            raise ModelError(
                f"{self._source} gives shape {answer.derained.shape} for {rainy.shape}; "
                "a crdnet model keeps the shape"
            )
        multiple = self.info.size_multiple
        cells = (rainy.shape[0] // multiple, rainy.shape[1] // multiple)
        if answer.density is not None and answer.density.shape != cells:
            raise ModelError(
                f"{self._source} gives a density of shape {answer.density.shape} for "
                f"{_format_size(rainy)}; a crdnet model gives one number per cell of {multiple} "
                "pixels"
            )


def _format_size(image: Floats) -> str:
    return f"{image.shape[1]} x {image.shape[0]} pixels"
