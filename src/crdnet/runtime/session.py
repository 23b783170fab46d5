"""One model, opened by an engine and checked against what its metadata says."""

from threading import Lock, Semaphore

from crdnet.errors import CRDNetError, ModelError
from crdnet.runtime.cpus import usable_cpus
from crdnet.runtime.engines import Answer, Floats, Run, first_line, open_engine
from crdnet.runtime.store import StoredModel


class Session:
    """A model that is ready to run; may be called from many threads at once, which take turns.

    Args:
        model: The file.
        device: One of `DEVICES`; `auto` is the fastest that works here.
        threads: Processors for one call.

    Raises:
        ModelError: The file is damaged or is not ours.
        DeviceError: The device is not there.
    """

    def __init__(self, model: StoredModel, device: str, threads: int) -> None:
        self._source = str(model.path)
        # More networks at once than there are processors for would take longer, and each takes its
        # own memory.
        turns = max(1, usable_cpus() // threads)
        self.device, self._engine = open_engine(model, device, threads, turns)
        self.engine = self._engine.name
        """What runs the model, with version and precision, such as "onnxruntime 1.31.1,
        float32"."""
        self.info = self._engine.info
        self.senses = self._engine.senses
        """Whether the model says how heavy the rain is."""
        self._running: set[Run] = set()
        self._lock = Lock()
        self._halted = False
        self._turn = Semaphore(turns)

    def __call__(self, rainy: Floats) -> Answer:
        """Run the network.

        Args:
            rainy: Colours (h, w, 3) in [0, 1]; sides are multiples of the model's.
        """
        run = self._engine.begin()
        with self._lock:
            if self._halted:
                raise CRDNetError("stopped before the image was done")
            self._running.add(run)
        try:
            with self._turn:
                answer = run(rainy)
        except Exception as error:  # engines' errors have no base class of their own
            if run.stopped:
                raise CRDNetError("stopped before the image was done") from error
            raise ModelError(
                f"{self._source} failed on {_size(rainy)}: {first_line(error)}"
            ) from error
        finally:
            with self._lock:
                self._running.discard(run)
        self._check(answer, rainy)
        return answer

    def abandon(self) -> None:
        """Never free this session: in the child of a fork that would wait for threads that are not there."""
        self._engine.abandon()

    def shrink(self) -> None:
        """Give the memory that a large image took back to the system.

        The next large one takes it anew.
        """
        self._engine.shrink()

    def stop(self) -> None:
        """Make the calls that are running now end with an error, at the next layer."""
        with self._lock:
            for run in self._running:
                run.stop()

    def halt(self) -> None:
        """Stop the calls that are running, and make every later one end with an error until `resume`.

        An image is many calls, with work between them that hears no `stop`.
        """
        with self._lock:
            self._halted = True
        self.stop()

    def resume(self) -> None:
        """Take calls again after `halt`."""
        self._halted = False

    def _check(self, answer: Answer, rainy: Floats) -> None:
        if answer.derained.shape != rainy.shape:
            raise ModelError(
                f"{self._source} gives shape {answer.derained.shape} for {rainy.shape}; a crdnet model keeps the "
                "shape"
            )
        multiple = self.info.size_multiple
        cells = (rainy.shape[0] // multiple, rainy.shape[1] // multiple)
        if answer.density is not None and answer.density.shape != cells:
            raise ModelError(
                f"{self._source} gives a density of shape {answer.density.shape} for {_size(rainy)}; a crdnet model "
                f"gives one number per cell of {multiple} pixels"
            )


def _size(image: Floats) -> str:
    return f"{image.shape[1]} x {image.shape[0]} pixels"
