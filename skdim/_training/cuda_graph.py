"""CUDA graphs: a step captured once and replayed, so that no kernel waits for Python.

A CUDA graph repeats the kernels of one step at the same addresses. So everything that changes from
step to step must lie in tensors: the batch, the learning rates, the counters of optimisers and
random numbers. For each of the at most two sizes of a batch, the first steps run eagerly, on the
stream that captures later, because memory and kernels are chosen on first use. Then a graph is
captured.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from skdim._runtime.seeding import global_state_lock

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
        """Capture a function as one that repeats it and returns its result in the same tensor.

        If it raises RuntimeError, nothing has changed, but functions captured earlier must not be
        repeated any more.
        """
        ...


class CUDAGraphCapturer:
    """Capture CUDA graphs; the generator advances with every replay, as torch's global one does."""

    def __init__(self, generator: torch.Generator):
        self.generator, self.device = generator, generator.device
        self.stream = torch.cuda.Stream(self.device)
        # Graphs share memory: nothing inside one is needed after its replay.
        self.pool = torch.cuda.graph_pool_handle()

    def run(self, function: Callable[[], T]) -> T:
        """Run a function on the stream that captures."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            result = function()
        current.wait_stream(self.stream)
        return result

    def capture(self, function: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Capture without running.

        Other threads go on: they may allocate memory, but they neither capture nor draw from
        torch's global generator of the device, which takes part in every capture.
        """
        # What a graph sets up for a generator, it sets up on the current device.
        with global_state_lock(), torch.cuda.device(self.device), self._restored_if_it_fails():
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(self.generator)
            torch.cuda.synchronize(self.device)
            with torch.cuda.graph(
                graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"
            ):
                result = function()

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay

    @contextmanager
    def _restored_if_it_fails(self) -> Iterator[None]:
        """End a capture that fails in the ``with`` block.

        Otherwise, generators would remain in the capture (in torch up to 2.12) and draw no more
        numbers, and the pool would remain that of new tensors.
        """
        generators = [self.generator, torch.cuda.default_generators[self.device.index]]
        states = [generator.clone_state() for generator in generators]
        try:
            yield
        except BaseException:
            for generator, state in zip(generators, states, strict=True):
                generator.graphsafe_set_state(state)
            with suppress(AttributeError, RuntimeError):  # it has ended, as it should
                _of_torch("_cuda_endAllocateToPool")(self.device.index, self.pool)
            self.pool = torch.cuda.graph_pool_handle()
            raise


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

    The shapes of the step must not depend on numbers on the device, which it must not read. If the
    step cannot be captured for batches of some size, these run eagerly, and the log says why.
    """

    def __init__(self, step: Step, capturer: Capturer):
        self.step = step
        self.capturer = capturer
        # By the size of a batch.
        self.n_run: Counter[int] = Counter()
        self.graphs: dict[int, Step] = {}
        self.refused: set[int] = set()

    def __call__(self, samples: Tensor, groups: Tensor | None) -> Terms:
        """Do one step, eagerly or by replay."""
        size = len(samples)
        if size in self.refused:
            return self.step(samples, groups)
        if self.n_run[size] < N_WARMUP:
            self.n_run[size] += 1
            return self.capturer.run(lambda: self.step(samples, groups))
        if size not in self.graphs:
            try:
                self.graphs[size] = _capture(self.step, self.capturer, samples, groups)
            except RuntimeError as error:
                logger.warning(
                    "Batches of %d samples run without a CUDA graph, more slowly: %s",
                    size,
                    _first_reason(error),
                )
                self.refused.add(size)
                self.graphs.clear()  # they are captured again
                return self.step(samples, groups)
        return self.graphs[size](samples, groups)


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


def _first_reason(error: BaseException) -> str:
    """First line of what went wrong first: a capture that fails ends with an error of its own."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error).splitlines()[0]


def _of_torch(name: str) -> Any:
    """Return a function that torch itself uses, but does not document."""
    return getattr(torch._C, name)  # noqa: SLF001
