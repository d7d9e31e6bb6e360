"""The processes of `tests/runtime/test_distributed.py`.

``torchrun distributed_worker.py TASK FOLDER``, or ``python distributed_worker.py TASK FOLDER N``
for N processes that are forked from one. Without arguments, the program reads such triples, a line
of JSON each, and answers each with whether its processes ended well; all share its imports.
"""

import json
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from datetime import timedelta
from functools import cache
from itertools import count, cycle, product
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from filelock import FileLock
from sklearn.datasets import load_digits
from skorch.callbacks import Callback
from torch import distributed, nn

from skdim import DIMTransformer, _runtime, _training, transformer
from skdim._model.config import outline
from skdim._runtime.batch_norm import sync_batch_norm
from skdim._runtime.distributed import (
    SINGLE_PROCESS,
    ProcessGroup,
    join_process_group,
    leave_process_group,
)
from skdim._runtime.interrupts import InterruptGuard
from skdim._training.net import DIMNet
from skdim.critics import CRITICS
from skdim.encoders import ENCODERS, encode, tap
from skdim.mutual_information import ESTIMATORS
from skdim.objective import DIMObjective, ObjectiveConfig
from skdim.objective.coordinates import COORDINATES
from skdim.objective.scores import bound_in_chunks
from skdim.priors import Prior, unchanged

CPU = torch.device("cpu")
N = 11  # does not divide evenly among the processes
SHAPES = {"mlp": (5,), "signal": (2, 16), "conv": (1, 8, 8)}
NARROW = {"width": 16, "n_hidden": 32}
IMAGES = load_digits().images[:200].astype(np.float32)


def opaque(joint, marginal):
    """An MI estimator that does not say how it reduces negatives."""
    return joint.mean() - marginal.square().mean()


EVERY_ESTIMATOR = {**ESTIMATORS, "opaque": opaque}


def constant_prior(shape, generator):
    """A prior whose draws do not depend on the process."""
    return torch.full(shape, 0.3, dtype=torch.float64)


@cache
def outline_of(encoder_name: str) -> tuple[int, list[tuple[int, int]]]:
    """Number of components of a code, and shapes of local maps."""
    shape = SHAPES[encoder_name]
    return outline(ENCODERS[encoder_name](shape, 4, **NARROW), shape, CPU)


def step(processes: ProcessGroup, encoder_name, estimator, critic, is_grouped) -> tuple[list, list]:
    """One step in doubles: loss terms and all gradients, summed over processes."""
    n_code, local_shapes = outline_of(encoder_name)
    torch.manual_seed(0)
    shape = SHAPES[encoder_name]
    encoder = ENCODERS[encoder_name](shape, 4, **NARROW)
    has_positions = encoder_name == "conv"
    config = ObjectiveConfig(
        global_weight=0.5,
        local_weight=1.0,
        prior_weight=0.1,
        mi_estimator=EVERY_ESTIMATOR[estimator],
        critic=CRITICS[critic],
        critic_width=6,
        n_locations=None,
        prior=Prior(constant_prior, unchanged, gradient_penalty=1.0),
        coordinate_weight=0.2 * has_positions,
        coordinates=COORDINATES["absolute"] if has_positions else (),
    )
    objective = DIMObjective(config, n_code, local_shapes, len(shape) - 1)
    encoder.double(), objective.double()
    views = torch.randn(2, N, *shape, dtype=torch.float64)
    groups = torch.arange(N) % 4 if is_grouped else None
    draws = torch.Generator().manual_seed(1)
    shard = processes.shard(torch.arange(N))
    with sync_batch_norm(processes, encoder, objective):
        encoding = encode(encoder, views[:, shard].flatten(0, 1), with_fixed=False)
        code = encoding.code.unflatten(0, (2, -1))
        local_maps = tuple(m.unflatten(0, (2, -1)) for m in encoding.local_maps)
        with processes.summed_gradients(list(objective.discriminator.parameters())):
            processes.weight_by_shard(objective.discriminator_term(code, draws)).backward()
        terms = objective(code, local_maps, draws, groups, processes)
        with processes.summed_gradients([*encoder.parameters(), *objective.critic_parameters()]):
            objective.loss(terms).backward()
    sums = torch.stack([term.detach() for term in terms.values()])
    processes.all_reduce([sums])
    states = [*encoder.buffers(), *(p.grad for p in encoder.parameters() if p.grad is not None)]
    states += [p.grad for p in objective.parameters() if p.grad is not None]
    return sums.tolist(), [tensor.double() for tensor in states]


# Other encoders have other layers, but no other bounds.
SOME_ESTIMATORS = ("infonce", "jsd", "dv")
BOUNDS = {"mlp": EVERY_ESTIMATOR, "signal": SOME_ESTIMATORS, "conv": SOME_ESTIMATORS}


def every_choice(longest: Iterable, *others: Iterable) -> Iterable[tuple]:
    """Yield some of the product of choices, with every choice among them."""
    return zip(longest, *map(cycle, others), strict=False)


def compare_steps(
    processes: ProcessGroup, folder: Path, combine: Callable[..., Iterable[tuple]]
) -> None:
    """Compare one step of several processes with one step of one process on the whole batch."""
    _runtime.distributed.BUCKET_SIZE = 1024  # bytes: gradients leave in several messages
    variants = [
        (encoder, *choices)  # an encoder, an MI estimator, a critic, whether there are groups
        for encoder, estimators in BOUNDS.items()
        for choices in combine(estimators, CRITICS, (False, True))
    ]
    errors = {}
    for variant in variants:
        terms, states = step(processes, *variant)
        if processes.is_main:
            expected_terms, expected_states = step(SINGLE_PROCESS, *variant)
            pairs = zip(states, expected_states, strict=True)
            gaps = [float((a - b).abs().max()) for a, b in pairs]
            gaps += [abs(a - b) for a, b in zip(terms, expected_terms, strict=True)]
            errors[" ".join(map(str, variant))] = max(gaps)
    if processes.is_main:
        (folder / "errors.json").write_text(json.dumps(errors))


def bound_and_gradients(processes, name, groups, n, chunk_size) -> list[torch.Tensor]:
    """The bound of a batch and the gradients of its queries and of all keys, over processes."""
    generator = torch.Generator().manual_seed(0)
    queries, keys = (
        torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in ((2, n, 3), (2, n, 4, 3))
    )
    shard = processes.shard(torch.arange(n))
    parts = [(queries, keys[:, shard])]
    bound = bound_in_chunks(ESTIMATORS[name], parts, groups, processes, chunk_size)
    sums = [bound.detach(), *torch.autograd.grad(bound, (queries, keys))]
    processes.all_reduce(sums)
    return sums


def compare_chunks(processes: ProcessGroup, folder: Path) -> None:
    """Compare chunks of codes of several processes with all pairs of one process."""
    errors = {}
    for n, name, n_queries in product((processes.world_size, 7), ESTIMATORS, (1, 2, 100)):
        for groups in (None, torch.arange(n) % max(2, n - 1)):
            together = bound_and_gradients(processes, name, groups, n, n_queries * 2 * 4 * 2)
            if processes.is_main:
                expected = bound_and_gradients(SINGLE_PROCESS, name, groups, n, 2**22)
                gaps = [float((a - b).abs().max()) for a, b in zip(together, expected, strict=True)]
                errors[f"{name} {n} {n_queries} {groups}"] = max(gaps)
    if processes.is_main:
        (folder / "chunk_errors.json").write_text(json.dumps(errors))


def compare(processes: ProcessGroup, folder: Path) -> None:
    """Only what tells whether several processes are one."""
    compare_steps(processes, folder, every_choice)
    compare_chunks(processes, folder)


def compare_all(processes: ProcessGroup, folder: Path) -> None:
    """As `compare`, every combination."""
    compare_steps(processes, folder, product)
    compare_chunks(processes, folder)


def count_bytes(processes: ProcessGroup, folder: Path) -> None:
    """Count what the collectives exchange in one step of a fit with the defaults.

    The images are small: codes do not depend on their size.
    """
    sizes: list[int] = []

    def counted(collective, tensor_of):
        def call(*args, **kwargs):
            sizes.append(sum(tensor.nbytes for tensor in tensor_of(args)))
            return collective(*args, **kwargs)

        return call

    distributed.all_reduce = counted(distributed.all_reduce, lambda args: args[:1])
    distributed.all_gather = counted(distributed.all_gather, lambda args: args[0])
    step, steps = DIMNet.step, []

    def counted_step(net, samples, groups):
        terms = step(net, samples, groups)
        steps.append(list(sizes))
        sizes.clear()
        return terms

    DIMNet.step = counted_step
    images = np.random.default_rng(0).integers(0, 256, (256, 16, 16, 3), dtype=np.uint8)
    dim = DIMTransformer(max_epochs=1, random_state=0, device="cpu", distributed=True)
    objective = dim.fit(images).model_.objective
    parameters = [*dim.encoder_.parameters(), *objective.critic_parameters()]
    counts = {
        "sizes": steps[-1],  # from one step's end to the next one's
        "gradients": 4 * sum(p.numel() for p in parameters if p.requires_grad),
        "batch_size": dim.batch_size,
    }
    (folder / f"bytes{processes.rank}.json").write_text(json.dumps(counts))


def fit(processes: ProcessGroup, folder: Path, name: str, images=IMAGES, **params) -> None:
    """Fit together; every process writes its features."""
    defaults = {"max_epochs": 4, "batch_size": 64, "random_state": 0, "device": "cpu"}
    defaults |= {"encoder_params": NARROW, "prior_weight": 0.1, "distributed": True}
    params = {**defaults, **params}
    dim = DIMTransformer(8, **params).fit(images)
    losses = np.array([[epoch["loss"] for epoch in dim.history_]])
    np.savez(folder / f"{name}{processes.rank}.npz", features=dim.transform(images), losses=losses)


class BatchNormWithActivation(nn.BatchNorm2d):
    """As in timm."""

    def forward(self, x):
        return super().forward(x).relu()


class OwnStatistics(nn.Module):
    """A custom layer that follows the mean of its process."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.mean.lerp_(x.detach().float().mean(), 0.1)
        return x - self.mean.to(x.dtype)


def normalizing_network():
    """Layers whose statistics depend on the samples of a process."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, bias=False),
        BatchNormWithActivation(8),
        nn.Conv2d(8, 8, 3),
        nn.InstanceNorm2d(8, track_running_stats=True),
        OwnStatistics(),
        nn.Flatten(),
    )


def die(processes: ProcessGroup, folder: Path) -> None:
    """Lose a process in the third epoch."""
    run_epoch = DIMNet.run_single_epoch

    def dying(net, iterator, *args, **kwargs):
        if iterator is not None and net.n_whole_epochs == 2 and processes.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return run_epoch(net, iterator, *args, **kwargs)

    DIMNet.run_single_epoch = dying
    fit(processes, folder, "dead", checkpoint=str(folder / "states"))


def train(processes: ProcessGroup, folder: Path) -> None:
    """Everything that no process dies of."""
    compare(processes, folder)
    count_bytes(processes, folder)
    fit(processes, folder, "whole")
    fit(processes, folder, "no_seed", random_state=None, early_stopping=True)
    layers = tap(normalizing_network, local="2", hidden="5")
    fit(processes, folder, "layers", encoder=layers, encoder_params=None, augment=None)
    fit(processes, folder, "in_time", max_epochs=10**6, max_time=1.0)
    try:
        fit(processes, folder, "other", images=IMAGES[processes.rank :])
    except ValueError as error:
        (folder / f"error{processes.rank}.txt").write_text(str(error))


def resume(processes: ProcessGroup, folder: Path) -> None:
    """Resume from the last state of `die`."""
    fit(processes, folder, "resumed", checkpoint=str(folder / "states"))
    has_compiler = "torch._dynamo" in sys.modules
    (folder / f"compiler{processes.rank}.json").write_text(json.dumps(has_compiler))


# When Ctrl-C comes: in which function, and in which of its calls in a fit of four epochs of two
# steps.
MOMENTS = {
    "while another fit holds the checkpoint": (InterruptGuard, "check", 1),
    "before training": (transformer, "fit_model", 1),
    "in the first epoch": (DIMNet, "step", 1),
    "in an epoch": (DIMNet, "step", 4),
    "in the last step": (DIMNet, "step", 8),
    "while readouts are fitted": (_training.fit, "fit_readouts", 1),
    "afterwards": (transformer, "advise_on_fit", 1),
}
# Milliseconds until it reaches each process, None for never.
OF_BOTH = [(0, 0), (0, 10), (50, 0)]
OF_ONE = [(0, None), (None, 0)]


def press(delay: float | None) -> None:
    """Send this process the signal of Ctrl-C."""
    if delay == 0:
        os.kill(os.getpid(), signal.SIGINT)
    elif delay is not None:
        threading.Timer(delay / 1000, os.kill, (os.getpid(), signal.SIGINT)).start()


def pressed_at(owner, name: str, number: int, delay: float | None):
    """Press Ctrl-C at one call of a function."""
    function, calls = getattr(owner, name), count(1)

    def call(*args, **kwargs):
        if next(calls) == number:
            press(delay)
        return function(*args, **kwargs)

    return patch.object(owner, name, call)


def interrupt(
    processes: ProcessGroup, folder: Path, combine: Callable[..., Iterable[tuple]] = every_choice
) -> None:
    """Ctrl-C at every moment of a fit; it reaches the processes apart, or one of them only."""
    rows = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    params = {"max_epochs": 4, "batch_size": 32, "random_state": 0, "device": "cpu"}
    params |= {"encoder_params": NARROW, "lr_schedule": "constant", "distributed": True}
    states = folder / "states"
    DIMTransformer(4, **params, checkpoint=states).fit(rows)
    (path,) = states.glob("*/lock")
    outcomes = {}
    for moment, delays in [*combine(MOMENTS, OF_BOTH), *combine(MOMENTS, OF_ONE)]:
        dim, is_raised, delay = DIMTransformer(4, **params), False, delays[processes.rank]
        other_fit = nullcontext()
        if moment == "while another fit holds the checkpoint":
            dim.checkpoint = states
            other_fit = FileLock(path) if processes.is_main else other_fit
        with other_fit, pressed_at(*MOMENTS[moment], delay):
            try:
                dim.fit(rows)
                time.sleep(5 if delay else 0)  # until a signal that comes after the fit
            except KeyboardInterrupt:
                is_raised = True
        n_epochs = dim.n_iter_ if dim.__sklearn_is_fitted__() else 0
        features = dim.transform(rows).tolist() if n_epochs else None
        outcomes[f"{moment}, {delays}"] = [is_raised, n_epochs, features]
    for n in (1, 2, 4):
        dim = DIMTransformer(4, **{**params, "max_epochs": n}).fit(rows)
        outcomes[str(n)] = dim.transform(rows).tolist()
    (folder / f"interrupts{processes.rank}.json").write_text(json.dumps(outcomes))
    leave(processes, folder)


def interrupt_all(processes: ProcessGroup, folder: Path) -> None:
    """As `interrupt`, every combination."""
    interrupt(processes, folder, product)


def leave(processes: ProcessGroup, folder: Path) -> None:
    """Ctrl-C reaches one process before its second fit, which it then leaves out."""
    _runtime.distributed.EXIT_TIMEOUT = timedelta(seconds=1)
    fit(processes, folder, "first", max_epochs=1)
    if processes.rank:
        with suppress(KeyboardInterrupt):
            press(0)
            time.sleep(10)
        return
    try:
        fit(processes, folder, "second", max_epochs=1)
    except RuntimeError as error:
        (folder / "lost.txt").write_text(str(error))


class Raises(Callback):
    """Raises an interrupt in one process, in one of its methods, the third time."""

    def __init__(self, method, rank):
        self.calls = count(1)
        if rank == 1:
            setattr(self, method, self.call)

    def call(self, net, **kwargs):
        if next(self.calls) == 3:
            raise KeyboardInterrupt


class InterruptsItself(Callback):
    """Sends a signal to its own process, in one process."""

    def __init__(self, rank):
        self.rank, self.calls = rank, count(1)

    def on_grad_computed(self, net, **kwargs):
        if next(self.calls) == 3 and self.rank == 1:
            os.kill(os.getpid(), signal.SIGINT)


class Handler:
    """A program's own handler of signals, which raises an interrupt the first time."""

    n_calls = 0

    def __call__(self, number, frame):
        self.n_calls += 1
        if self.n_calls == 1:
            raise KeyboardInterrupt


class RaisingView:
    """A view that raises an interrupt in one process, the sixth time."""

    def __init__(self, rank):
        self.rank, self.calls = rank, count(1)

    def __call__(self, batch, generator):
        if next(self.calls) == 6 and self.rank == 1:
            raise KeyboardInterrupt
        return batch


def quit_alone(processes: ProcessGroup, folder: Path) -> None:
    """One process raises an interrupt: in a callback, by a handler of its own, and in a view."""
    rows = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    params = {"max_epochs": 4, "batch_size": 32, "random_state": 0, "device": "cpu"}
    params |= {"encoder_params": NARROW, "lr_schedule": "constant", "distributed": True}
    outcomes = {}

    def attempt(name: str, **further) -> None:
        dim, outcome = DIMTransformer(4, **{**params, **further}), "ended"
        try:
            dim.fit(rows)
        except (KeyboardInterrupt, RuntimeError) as error:
            outcome = f"{type(error).__name__} {error}"
        n_epochs = dim.n_iter_ if dim.__sklearn_is_fitted__() else 0
        outcomes[name] = [outcome, n_epochs]

    for method in ("on_batch_begin", "on_grad_computed", "on_batch_end", "on_epoch_end"):
        callbacks = [Raises(method, processes.rank)]
        attempt(method, callbacks=callbacks, checkpoint=str(folder / method))
    handler = Handler()
    default = signal.signal(signal.SIGINT, handler)
    attempt("own handler", callbacks=[InterruptsItself(processes.rank)])
    attempt("a handler that raises nothing", callbacks=[InterruptsItself(processes.rank)])
    outcomes["calls"] = handler.n_calls
    signal.signal(signal.SIGINT, default)
    _runtime.distributed.EXIT_TIMEOUT = timedelta(seconds=1)
    attempt("a view", augment=RaisingView(processes.rank))
    (folder / f"quits{processes.rank}.json").write_text(json.dumps(outcomes))


TASKS = {"train": train, "quit": quit_alone, "compare": compare, "compare_all": compare_all}
TASKS |= {"die": die, "resume": resume, "interrupt": interrupt, "interrupt_all": interrupt_all}


def threads_of_gloo() -> list[str]:
    """Names of the threads that would be left to an interpreter that ends."""
    names = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]


def run(task: str, folder: Path) -> None:
    """Run a task as one of the processes that torchrun has started or that are connected."""
    group = join_process_group(CPU)
    TASKS[task](group, folder)
    leave_process_group()
    (folder / f"threads{group.rank}.json").write_text(json.dumps(threads_of_gloo()))


def fork(n_processes: int, folder: Path) -> bool | None:
    """Go on as so many connected processes; return here whether all ended well, in them None."""
    children = []
    for rank in range(n_processes):
        child = os.fork()
        if not child:
            signal.alarm(300)  # seconds, after which it is killed
            address = f"file://{folder / 'connection'}"
            distributed.init_process_group("gloo", address, rank=rank, world_size=n_processes)
            return None
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    return not any(statuses)


def serve() -> None:
    """Fork the processes of every line of input."""
    for line in sys.stdin:
        task, folder, n_processes = json.loads(line)
        ended_well = fork(n_processes, Path(folder))
        if ended_well is None:
            run(task, Path(folder))
            os._exit(0)  # to tidy up takes a second for each of them
        print(json.dumps(ended_well), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if not sys.argv[1:]:
        sys.exit(serve())
    task, folder, *n_processes = sys.argv[1:]
    ended_well = fork(int(n_processes[0]), Path(folder)) if n_processes else None
    if ended_well is None:
        run(task, Path(folder))
    sys.exit(ended_well is False)
