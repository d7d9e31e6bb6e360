"""Claim: two processes on two cores train at least 1.8 times as fast as one process on one core.

Every process has the same number of samples of a batch (weak scaling). Two processes are run three
times: as they are, exchanging codes; with an MI estimator that does not say how it reduces marginal
scores, so that keys are exchanged; and as two fits that know nothing of each other, which shows
what two cores of this machine can do.

``--rate 1gbit`` puts a slow network between the processes, by Linux's network namespaces and
traffic control; ``--delay 10ms`` also makes every packet wait, if the kernel has ``netem``. Then
one process is not run: the claim is that codes are faster than keys.

Command: python -m benchmarks.speed.bench_distributed [--rate 1gbit [--delay 10ms]]
n: 3 rounds (--rounds) in turn; of each fit the median of seven epochs after the first
Hardware: at least two free cores; the slow network needs ``unshare`` and ``tc``
"""

import json
import os
import subprocess
import sys
import warnings

import numpy as np

from benchmarks.common import argument_parser, print_machine, save, verdict
from skdim import DIMTransformer
from skdim.mutual_information import infonce

# Root in its own user namespace may change its own loopback, and nobody else's.
SLOW_NETWORK = """
set -e
ip link set lo up
tc qdisc add dev lo root handle 1: tbf rate "$1" burst 128kb latency 50ms
if [ "$2" != none ]; then tc qdisc add dev lo parent 1: netem delay "$2"; fi
shift 2
exec "$@"
"""


def infonce_of_keys(joint, marginal):
    """InfoNCE without the decorator that says how it reduces marginal scores."""
    return infonce(joint, marginal)


# What two processes exchange, and the MI estimator that makes them do so.
MI_ESTIMATORS = {"codes": infonce, "keys": infonce_of_keys, "nothing": infonce}


def work(exchanged: str, batch_size: int, n_samples: int, side: int, n_epochs: int) -> None:
    """Fit in this process, on one core, and print the samples of all processes in a second."""
    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[rank % len(cores)]})
    warnings.simplefilter("ignore")
    is_distributed = world_size > 1 and exchanged != "nothing"
    X = np.random.default_rng(0).integers(0, 256, (n_samples, side, side, 3), dtype=np.uint8)
    dim = DIMTransformer(
        max_epochs=n_epochs,
        batch_size=batch_size * (world_size if is_distributed else 1),
        mi_estimator=MI_ESTIMATORS[exchanged],
        distributed=is_distributed,
        device="cpu",
        random_state=0,
    ).fit(X)
    if rank == 0:
        speeds = [epoch["samples_per_second"] for epoch in dim.history_[1:]]
        n_alike = 1 if is_distributed else world_size
        print(json.dumps({"samples_per_second": float(np.median(speeds)) * n_alike}))


def measure(exchanged: str, world_size: int, arguments) -> float:
    """Run `work` in so many processes; return the samples of all in a second."""
    module = "benchmarks.speed.bench_distributed"
    command = [sys.executable, "-m"]
    if world_size > 1:
        launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(world_size)]
        command += [*launch, "-m"]
    sizes = (arguments.batch_size, arguments.samples, arguments.side, arguments.epochs)
    command += [module, "--work", exchanged]
    names = ("--batch-size", "--samples", "--side", "--epochs")
    for name, size in zip(names, sizes, strict=True):
        command += [name, str(size)]
    if arguments.rate:
        slow = ["unshare", "--map-root-user", "--net", "sh", "-c", SLOW_NETWORK, "sh"]
        command = [*slow, arguments.rate, arguments.delay or "none", *command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{ended.stderr[-2000:]}")
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    return json.loads(line)["samples_per_second"]


def compare(arguments) -> None:
    """Measure one process and two, or two over a slow network."""
    print_machine()
    settings = {"2 processes, codes": ("codes", 2), "2 processes, keys": ("keys", 2)}
    if not arguments.rate:
        settings |= {"1 process": ("nothing", 1), "2 processes, nothing": ("nothing", 2)}
    rounds: dict[str, list[float]] = {name: [] for name in settings}
    for _ in range(arguments.rounds):
        for name, (exchanged, n_processes) in settings.items():
            rounds[name].append(measure(exchanged, n_processes, arguments))
    speeds = {name: float(np.median(measured)) for name, measured in rounds.items()}
    for name, measured in rounds.items():
        spread = f"{min(measured):.0f} to {max(measured):.0f}"
        print(f"{name:22s} {speeds[name]:8.1f} samples/s ({spread})")
    codes, keys = speeds["2 processes, codes"], speeds["2 processes, keys"]
    network = {"rate": arguments.rate, "delay": arguments.delay}
    name = "distributed_slow" if arguments.rate else "distributed"
    save(name, {"samples_per_second": rounds, "network": network, **vars(arguments)})
    if arguments.rate:
        verdict({f"codes are {codes / keys:.2f} times as fast as keys": codes > keys})
    else:
        print(f"{codes / speeds['2 processes, nothing']:.2f} of two fits that exchange nothing")
        part = codes / speeds["1 process"] / 2
        verdict({f"{part:.2f} of the ideal speed, at least 0.9": part >= 0.9})


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--rate", help="of the network between the processes, such as 1gbit")
    parser.add_argument("--delay", help="of every packet, such as 10ms")
    parser.add_argument("--batch-size", type=int, default=128, help="of each process")
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", choices=MI_ESTIMATORS, help="what each process does")
    arguments = parser.parse_args()
    if arguments.work:
        sizes = (arguments.batch_size, arguments.samples, arguments.side, arguments.epochs)
        work(arguments.work, *sizes)
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
