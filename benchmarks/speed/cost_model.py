"""Claim: operations predict the time of a step within a factor of 1.5, over sizes of every kind.

The model: the time of a step is the sum of three parts, each a count divided by a rate: its
operations, the bytes of its samples, and the bytes that processes exchange. Operations are counted:
those of a fit of two epochs minus those of a fit of one. The rate of this machine is measured once,
at the defaults. It predicts all other points, which are then measured. ``--extrapolate 100`` prints
a table for GPUs of 100 TFLOP/s instead.

Command: python -m benchmarks.speed.cost_model
n: 7 points, 1 fit each
Hardware: 1 core of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import warnings
from dataclasses import dataclass

import numpy as np
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


@dataclass(frozen=True)
class Step:
    """What one sample of a step costs.

    Attributes
    ----------
    encoder_flops : float
        Forward and backward, of all views.
    pair_flops : float
        For each sample of the batch.
    update_flops : float
        Of the optimiser, once a step.
    sample_bytes : float
        Read from where it is stored.
    key_bytes : float
        Of critic inputs sent to each other process; their gradients take as many.
    gradient_bytes : float
        Of all weights, once a step.
    """

    encoder_flops: float
    pair_flops: float
    update_flops: float
    sample_bytes: float
    key_bytes: float
    gradient_bytes: float

    def seconds(
        self, batch: int, world_size: int, flops: float, disk: float, network: float
    ) -> dict:
        """Return the seconds of each part of a step, at the rates per second of one process.

        Parameters
        ----------
        batch : int
            Samples of one process.
        world_size : int
        flops, disk, network : float
            Operations, bytes of samples, bytes exchanged.
        """
        joined = batch * world_size
        exchanged = 2 * (self.gradient_bytes + joined * self.key_bytes) * (world_size > 1)
        return {
            "encoder": batch * self.encoder_flops / flops,
            "pairs": batch * joined * self.pair_flops / flops,
            "update": self.update_flops / flops,
            "reading": batch * self.sample_bytes / disk,
            "exchange": exchanged / network,
        }


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
    batches = np.array([64.0, 128.0, 256.0])
    counts = [flops_of_a_sample(X, batch_size=int(batch), **params) for batch in batches]
    terms = np.stack([np.ones(3), batches, 1 / batches], 1)
    encoder_flops, pair_flops, update_flops = np.linalg.solve(terms, counts)
    dim = DIMTransformer(max_epochs=1, random_state=0, device="cpu", **params).fit(X)
    critic = dim.model_.objective.local_critics[-1]
    n_parameters = sum(p.numel() for p in [*dim.encoder_.parameters(), *critic.parameters()])
    n_locations = params.get("n_locations") or _n_locations(dim, X)
    key = critic.hidden.out_features + critic.hidden.in_features
    return Step(
        encoder_flops=float(encoder_flops),
        pair_flops=float(pair_flops),
        update_flops=float(update_flops),
        sample_bytes=X[0].nbytes,
        key_bytes=4.0 * dim.n_views * n_locations * key * len(dim.model_.objective.local_critics),
        gradient_bytes=4.0 * n_parameters,
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
    disk, network = 2e9, 25e9  # bytes per second of one process: a fast disk, a fast interconnect
    print(
        f"assumed per process: {tflops} TFLOP/s, {disk / 1e9} GB/s read, {network / 1e9} GB/s net"
    )
    for label, params in (("all locations", {}), ("n_locations=4", {"n_locations": 4})):
        step = step_of(images(512, 32), **params)
        print(f"\n{label}: {step}")
        for world_size in (1, 8, 64, 1000):
            for batch in (128, 1024):
                seconds = step.seconds(batch, world_size, tflops * 1e12, disk, network)
                total = max(seconds["reading"], seconds["encoder"] + seconds["pairs"])
                total += seconds["update"] + seconds["exchange"]
                parts = ", ".join(f"{part} {1e3 * s:9.3f}" for part, s in seconds.items())
                print(
                    f"{world_size:5d} processes, batch size {batch:5d} each: {batch / total:10.0f} "
                    f"samples/s per process; ms: {parts}"
                )


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
