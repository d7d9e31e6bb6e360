"""Steps of training recorded once and replayed: no kernel waits for Python to launch it.

A CUDA graph repeats the kernels of one step, at the addresses they had. What changes from step to
step must therefore lie in tensors: the batch, the learning rates, the counters of optimisers and
random numbers. The first steps run as they are, on the stream that records later; they set up what
steps set up on first use. Then one graph is recorded for each size of batch, of which there are two
at most.
"""

import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

import torch
from torch import Tensor

logger = logging.getLogger("skdim")

T = TypeVar("T")
Terms = dict[str, Tensor]
Step = Callable[[Tensor, Tensor | None], Terms]

N_WARMUP = 3
WORTHWHILE = 200  # steps; recording takes the time of some tens of them


class Recorder(Protocol):
    """Runs functions, and records them to be run again."""

    def run(self, function: Callable[[], T]) -> T:
        """Run a function where it would be recorded."""
        ...

    def record(self, function: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Return what repeats the function and returns its result, always the same tensor."""
        ...


class CUDARecorder:
    """Record CUDA graphs.

    Parameters
    ----------
    generator : torch.Generator
        Goes on from replay to replay, beside torch's global one.
    """

    def __init__(self, generator: torch.Generator):
        self.generator = generator
        self.stream = torch.cuda.Stream(generator.device)
        # Graphs share memory: nothing inside one is wanted after its replay.
        self.pool = torch.cuda.graph_pool_handle()

    def run(self, function: Callable[[], T]) -> T:
        """Run a function on the stream that records."""
        current = torch.cuda.current_stream(self.generator.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            result = function()
        current.wait_stream(self.stream)
        return result

    def record(self, function: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Record without running."""
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        torch.cuda.synchronize(self.generator.device)
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            result = function()

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay


def choose_recorder(
    generator: torch.Generator, n_steps: int, obstacle: str | None
) -> Recorder | None:
    """Return what records the steps of a fit; None for a CPU, a short fit or an obstacle.

    Parameters
    ----------
    generator : torch.Generator
        Of the fit, on its device.
    n_steps : int
    obstacle : str or None
        A clause that says why steps cannot be recorded.
    """
    if generator.device.type != "cuda" or n_steps < WORTHWHILE:
        return None
    if obstacle:
        logger.warning("Training runs without a CUDA graph, more slowly: %s.", obstacle)
        return None
    return CUDARecorder(generator)


class RecordedStep:
    """A step that is recorded after a few times.

    Parameters
    ----------
    step : callable (stored, groups) -> dict of terms
        Reads nothing from the device and lets no shape depend on a number there.
    recorder : Recorder

    Notes
    -----
    A step that cannot be recorded runs as it is, and the log says why.
    """

    def __init__(self, step: Step, recorder: Recorder):
        self.step = step
        self.recorder: Recorder | None = recorder
        self.n_run = 0
        self.recordings: dict[int, Step] = {}

    def __call__(self, stored: Tensor, groups: Tensor | None) -> Terms:
        """Do one step, this way or that."""
        if self.recorder is None:
            return self.step(stored, groups)
        if self.n_run < N_WARMUP:
            self.n_run += 1
            return self.recorder.run(lambda: self.step(stored, groups))
        if len(stored) not in self.recordings:
            try:
                self.recordings[len(stored)] = _record(self.step, self.recorder, stored, groups)
            except RuntimeError as error:
                reason = str(error).splitlines()[0]
                logger.warning("Training runs without a CUDA graph, more slowly: %s", reason)
                self.recorder = None
                return self.step(stored, groups)
        return self.recordings[len(stored)](stored, groups)


def _record(step: Step, recorder: Recorder, stored: Tensor, groups: Tensor | None) -> Step:
    batch = stored.clone()
    company = None if groups is None else groups.clone()
    names: list[str] = []

    def on_buffers() -> Tensor:
        terms = step(batch, company)
        names[:] = terms
        return torch.stack([term.detach().float() for term in terms.values()])

    replay = recorder.record(on_buffers)

    def again(stored: Tensor, groups: Tensor | None) -> Terms:
        batch.copy_(stored)
        if company is not None and groups is not None:
            company.copy_(groups)
        values = replay().clone()  # the next replay writes over them
        return dict(zip(names, values.unbind(), strict=True))

    return again
