"""CUDA graphs: a step captured once and replayed, so that no kernel waits for Python.

A CUDA graph repeats the kernels of one step at the same addresses. So everything that changes from
step to step must lie in tensors: the batch, the learning rates, the counters of optimisers and
random numbers. The first steps run eagerly, on the stream that captures later, because some memory
is set up on first use. Then one graph is captured for each of the at most two sizes of a batch.
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
WORTHWHILE = 200  # steps; capturing takes the time of some tens of them


class Capturer(Protocol):
    """Runs functions, and captures them to be run again."""

    def run(self, function: Callable[[], T]) -> T:
        """Run a function on the stream that captures."""
        ...

    def capture(self, function: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Capture a function as one that repeats it and returns its result in the same tensor."""
        ...


class CUDAGraphCapturer:
    """Capture CUDA graphs; the generator advances with every replay, as torch's global one does."""

    def __init__(self, generator: torch.Generator):
        self.generator = generator
        self.stream = torch.cuda.Stream(generator.device)
        # Graphs share memory: nothing inside one is needed after its replay.
        self.pool = torch.cuda.graph_pool_handle()

    def run(self, function: Callable[[], T]) -> T:
        """Run a function on the stream that captures."""
        current = torch.cuda.current_stream(self.generator.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            result = function()
        current.wait_stream(self.stream)
        return result

    def capture(self, function: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Capture without running."""
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        torch.cuda.synchronize(self.generator.device)
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            result = function()

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay


def choose_capturer(
    generator: torch.Generator, n_steps: int, obstacle: str | None
) -> Capturer | None:
    """Choose what captures the steps of a fit; None for a CPU, a short fit or an obstacle.

    The generator is that of the fit, on its device; the obstacle is a clause that says why steps
    cannot be captured.
    """
    if generator.device.type != "cuda" or n_steps < WORTHWHILE:
        return None
    if obstacle:
        logger.warning("Training runs without a CUDA graph, more slowly: %s.", obstacle)
        return None
    return CUDAGraphCapturer(generator)


class GraphedStep:
    """A step that runs eagerly a few times, and is then captured and replayed.

    The shapes of the step must not depend on numbers on the device, which it must not read. A step
    that cannot be captured runs eagerly, and the log says why.
    """

    def __init__(self, step: Step, capturer: Capturer):
        self.step = step
        self.capturer: Capturer | None = capturer
        self.n_run = 0
        self.graphs: dict[int, Step] = {}

    def __call__(self, samples: Tensor, groups: Tensor | None) -> Terms:
        """Do one step, eagerly or by replay."""
        if self.capturer is None:
            return self.step(samples, groups)
        if self.n_run < N_WARMUP:
            self.n_run += 1
            return self.capturer.run(lambda: self.step(samples, groups))
        if len(samples) not in self.graphs:
            try:
                self.graphs[len(samples)] = _capture(self.step, self.capturer, samples, groups)
            except RuntimeError as error:
                reason = str(error).splitlines()[0]
                logger.warning("Training runs without a CUDA graph, more slowly: %s", reason)
                self.capturer = None
                return self.step(samples, groups)
        return self.graphs[len(samples)](samples, groups)


def _capture(step: Step, capturer: Capturer, samples: Tensor, groups: Tensor | None) -> Step:
    batch_buffer = samples.clone()
    groups_buffer = None if groups is None else groups.clone()
    names: list[str] = []

    def on_buffers() -> Tensor:
        terms = step(batch_buffer, groups_buffer)
        names[:] = terms
        return torch.stack([term.detach().float() for term in terms.values()])

    replay = capturer.capture(on_buffers)

    def replayed_step(samples: Tensor, groups: Tensor | None) -> Terms:
        batch_buffer.copy_(samples)
        if groups_buffer is not None and groups is not None:
            groups_buffer.copy_(groups)
        values = replay().clone()  # the next replay overwrites them
        return dict(zip(names, values.unbind(), strict=True))

    return replayed_step
