"""Sensing of many images."""

from contextlib import ExitStack
from dataclasses import replace
from time import perf_counter

from crdnet.batch.inputs import Job
from crdnet.batch.resume import sort_outputs
from crdnet.batch.run import Run
from crdnet.errors import ArgumentError
from crdnet.images import ImageSource
from crdnet.pipeline import Outcome, sense_source


class SenseRun(Run):
    """Sensing of the images of a plan; see `Run`."""

    def __enter__(self) -> "SenseRun":
        """Open the model.

        Raises:
            ArgumentError: The model does not sense rain.
        """
        with ExitStack() as stack:
            if not self.derainer.session.senses:
                raise ArgumentError(
                    f"the `model` {self.derainer.model.name!r} does not sense rain; choose one "
                    "with a density head"
                )
            self.to_do, self.settled = sort_outputs(self._plan.inputs, None, self._options)
            self._open_codec(stack)
        return self

    def _do(self, job: Job) -> Outcome:
        began = perf_counter()
        content = self._locate_content(job)
        with ImageSource(*content, max_pixels=self._options.derain.max_pixels) as source:
            outcome = sense_source(self.derainer.network, source, codec=self._codec)
        return replace(outcome, input=job.name, seconds=perf_counter() - began)
