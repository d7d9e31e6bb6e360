"""Claim: operations predict the time of a step within a factor of 1.5, over sizes of every kind.

The model: the time of a step is the sum of parts, each a count divided by a rate: its operations,
the bytes of its samples, and the bytes and messages that processes exchange. Operations are
counted: those of a fit of two epochs minus those of a fit of one. The rate of this machine is
measured once, at the defaults. It predicts all other points, which are then measured.
``--extrapolate 100`` prints a table for GPUs of 100 TFLOP/s instead, as it stands in docs/scale.md.

Command: python -m benchmarks.speed.cost_model
n: 7 points, 1 fit each
Hardware: 1 core of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import warnings
from dataclasses import dataclass

import numpy as np
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import argument_parser, save, verdict
from skdim import DIMTransformer

# Name to (side of the images, parameters). All are predicted from the first.
POINTS: dict[str, tuple[int, dict]] = {
    "defaults": (32, {}),
    "batch 64": (32, {"batch_size": 64}),
    "batch 256": (32, {"batch_size": 256}),
    "48 x 48": (48, {}),
    "3 views": (32, {"n_views": 3}),
    "width 64": (32, {"encoder_params": {"width": 64}}),
    "critic of 512": (32, {"critic_width": 512}),
}


# What --extrapolate assumes of a network: name to (bytes per second of one process, seconds that
# a message takes however short it is).
NETWORKS = {
    "within a machine, 200 GB/s": (200e9, 20e-6),
    "between machines, 25 GB/s": (25e9, 40e-6),
}
# Name to (side of the images, samples of each GPU, parameters).
EXTRAPOLATED: dict[str, tuple[int, int, dict]] = {
    "32 x 32, 128 each": (32, 128, {}),
    "32 x 32, 128 each, `n_locations=4`": (32, 128, {"n_locations": 4}),
    "32 x 32, 1024 each, `n_locations=4`": (32, 1024, {"n_locations": 4}),
    "64 x 64, 128 each": (64, 128, {}),
}
WORLD_SIZES = (1, 8, 64, 1000)


@dataclass(frozen=True)
class Step:
    """What one sample of a step costs.

    Attributes
    ----------
    encoder_flops : float
        Operations of the encoder, forward and backward, for all views.
    pair_flops : float
        Operations of its pairs with each sample of the batch.
    update_flops : float
        Operations of the optimiser, once a step.
    sample_bytes : float
        Bytes of the sample, which are read from disk or memory.
    code_bytes : float
        Bytes of its codes, which every other process gets; their gradients are as long.
    statistic_bytes : float
        Bytes of its marginal statistics, three numbers for each view.
    key_bytes : float
        Bytes of its keys, exchanged instead of codes if the MI estimator has no reduction.
    batch_norm_bytes : float
        Bytes of the batch statistics of a process, which every other process gets; their gradients
        are as long.
    gradient_bytes : float
        Bytes of the gradients of all weights, once a step.
    n_messages : int
        Messages of a step that something waits for.
    """

    encoder_flops: float
    pair_flops: float
    update_flops: float
    sample_bytes: float
    code_bytes: float
    statistic_bytes: float
    key_bytes: float
    batch_norm_bytes: float
    gradient_bytes: float
    n_messages: int

    def seconds(
        self,
        batch: int,
        world_size: int,
        *,
        flops: float,
        disk: float,
        network: float,
        latency: float,
    ) -> dict[str, float]:
        """Return the seconds of each part of a step, at the rates per second of one process.

        Parameters
        ----------
        batch : int
            Samples of one process.
        world_size : int
        flops, disk, network : float
            Operations, bytes of samples, bytes exchanged.
        latency : float
            Seconds that the shortest message takes.
        """
        joined = batch * world_size
        others = (world_size - 1) / world_size
        # In a ring a process gets what it gathers once, and what it sums twice.
        gathered = joined * self.code_bytes + world_size * self.batch_norm_bytes
        summed = joined * (self.code_bytes + self.statistic_bytes) + self.batch_norm_bytes
        return {
            "encoder": batch * self.encoder_flops / flops,
            "pairs": batch * joined * self.pair_flops / flops,
            "update": self.update_flops / flops,
            "reading": batch * self.sample_bytes / disk,
            "codes": others * (gathered + 2 * summed) / network,
            "gradients": others * 2 * self.gradient_bytes / network,
            "messages": self.n_messages * latency * (world_size > 1),
        }


def total_seconds(parts: dict[str, float]) -> float:
    """Add the parts of a step.

    Samples are read during arithmetic. Gradients are sent while backward computes others; backward
    is two thirds of the encoder's operations.
    """
    arithmetic = parts["encoder"] + parts["pairs"] + parts["update"]
    gradients = max(0.0, parts["gradients"] - parts["encoder"] * 2 / 3)
    return max(parts["reading"], arithmetic) + parts["codes"] + gradients + parts["messages"]


def images(n: int, side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def flops_of_a_sample(X: np.ndarray, **params) -> float:
    """Count the operations of training on one sample."""
    counts = []
    for n_epochs in (1, 2):
        dim = DIMTransformer(max_epochs=n_epochs, random_state=0, device="cpu", **params)
        with FlopCounterMode(display=False) as counter:
            dim.fit(X)
        counts.append(counter.get_total_flops())
    return (counts[1] - counts[0]) / len(X)


def seconds_of_a_sample(X: np.ndarray, **params) -> float:
    """Measure the time of training on one sample: the median of epochs after the first."""
    dim = DIMTransformer(max_epochs=6, random_state=0, device="cpu", **params).fit(X)
    return 1 / float(np.median([epoch["samples_per_second"] for epoch in dim.history_[1:]]))


def step_of(X: np.ndarray, **params) -> Step:
    """Split the operations of a sample: of its encoding, of its pairs, of the update.

    Three batch sizes give three equations: encoder + pair * batch + update / batch.
    """
    batches = np.array([16.0, 32.0, 64.0])
    counts = [flops_of_a_sample(X, batch_size=int(batch), **params) for batch in batches]
    terms = np.stack([np.ones(3), batches, 1 / batches], 1)
    encoder_flops, pair_flops, update_flops = np.linalg.solve(terms, counts)
    dim = DIMTransformer(max_epochs=1, random_state=0, device="cpu", **params).fit(X)
    objective = dim.model_.objective
    critics = list(objective.local_critics)
    hidden = critics[-1].hidden
    n_parameters = sum(p.numel() for p in [*dim.encoder_.parameters(), *objective.parameters()])
    n_locations = params.get("n_locations") or _n_locations(dim, X)
    n_channels = [
        layer.num_features
        for module in (dim.encoder_, objective)
        for layer in module.modules()
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)
    ]
    n_code = critics[-1].query.in_features
    key = hidden.out_features + hidden.in_features
    return Step(
        encoder_flops=float(encoder_flops),
        pair_flops=float(pair_flops),
        update_flops=float(update_flops),
        sample_bytes=X[0].nbytes,
        code_bytes=4.0 * dim.n_views * n_code * len(critics),
        statistic_bytes=3 * 4.0 * dim.n_views * len(critics),
        key_bytes=4.0 * dim.n_views * n_locations * key * len(critics),
        # Mean, variance and the number of values.
        batch_norm_bytes=4.0 * sum(2 * n + 1 for n in n_channels),
        gradient_bytes=4.0 * n_parameters,
        # Each critic sends codes, their gradients and three statistics. The 1 is the last message
        # with gradients of weights: backward hides the others.
        n_messages=2 * len(n_channels) + 5 * len(critics) + 1,
    )


def _n_locations(dim: DIMTransformer, X: np.ndarray) -> int:
    dim.set_params(output="local")
    n_channels = dim.model_.objective.local_critics[-1].hidden.in_features
    return dim.transform(X[:2]).shape[1] // n_channels


def check() -> None:
    """Calibrate at the first point, predict the others."""
    table, rate = {}, 0.0
    for name, (side, params) in POINTS.items():
        X = images(512, side)
        flops, seconds = flops_of_a_sample(X, **params), seconds_of_a_sample(X, **params)
        rate = rate or flops / seconds
        table[name] = {
            "mflop_per_sample": flops / 1e6,
            "predicted_ms": 1e3 * flops / rate,
            "measured_ms": 1e3 * seconds,
            "ratio": seconds * rate / flops,
        }
        row = table[name]
        print(
            f"{name:15s} {row['mflop_per_sample']:8.1f} MFLOP a sample, predicted "
            f"{row['predicted_ms']:6.3f} ms, measured {row['measured_ms']:6.3f} ms, "
            f"ratio {row['ratio']:.2f}"
        )
    save("cost_model", {"rate_gflop_per_second": rate / 1e9, "points": table})
    worst = max(max(row["ratio"], 1 / row["ratio"]) for row in table.values())
    verdict({f"measured within a factor of 1.5 of predicted: {worst:.2f} at most": worst <= 1.5})


def extrapolate(tflops: float) -> None:
    """Print the predicted time of a step on GPUs of so many TFLOP/s; nothing is measured."""
    disk = 2e9  # bytes per second of one process: a fast disk
    steps: dict[tuple, Step] = {}
    print(f"assumed of each GPU: {tflops} TFLOP/s, {disk / 1e9} GB/s read")
    names = ("encoder", "pairs", "codes", "gradients", "messages")
    for network_name, (network, latency) in NETWORKS.items():
        print(f"\n{network_name}, {1e6 * latency:.0f} us a message\n")
        print(f"| images | GPUs | {' | '.join(names)} | samples/s, all | of ideal |")
        print("|---" * (len(names) + 4) + "|")
        for label, (side, batch, params) in EXTRAPOLATED.items():
            key = (side, *params.items())
            if key not in steps:
                steps[key] = step_of(images(64, side), **params)
            alone = 0.0
            for world_size in WORLD_SIZES:
                seconds = steps[key].seconds(
                    batch,
                    world_size,
                    flops=tflops * 1e12,
                    disk=disk,
                    network=network,
                    latency=latency,
                )
                speed = batch / total_seconds(seconds)
                alone = alone or speed
                parts = " | ".join(f"{1e3 * seconds[name]:.2g}" for name in names)
                print(
                    f"| {label} | {world_size} | {parts} | {speed * world_size:,.0f} | "
                    f"{100 * speed / alone:.0f} % |"
                )
    for key, step in steps.items():
        print(f"\n{key}: {step}")


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--extrapolate", type=float, metavar="TFLOPS")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.extrapolate:
        extrapolate(arguments.extrapolate)
    else:
        check()


if __name__ == "__main__":
    main()
