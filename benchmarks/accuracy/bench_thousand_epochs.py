"""Claim: the paper's 1,000 epochs of 50,000 images take at most two minutes of one GPU.

DIM(L), JSD, the paper's encoder, batch size 64 and optimiser; the lean critic of width 2048; no
prior. Without a GPU nothing is measured and nothing written.

Command: SKDIM_DATA=<folder> python -m benchmarks.accuracy.bench_thousand_epochs
n: 1 fit
Hardware: not measured yet; one GPU
Versions: not measured yet
"""

import time

import torch

from benchmarks.common import argument_parser, data_loader, save, verdict
from skdim import DIMTransformer


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--epochs", type=int, default=1000)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("not measured: there is no GPU")
        return
    X, _ = data_loader().load_cifar10("train")
    dim = DIMTransformer.paper(
        "local",
        critic="separable",
        prior_weight=0.0,
        precision="auto",
        max_epochs=arguments.epochs,
        random_state=0,
    )
    start = time.perf_counter()
    dim.fit(X)
    seconds = time.perf_counter() - start
    first = dim.history_[0]["seconds"]
    print(f"fit {seconds:.1f} s, its first epoch {first:.2f} s")
    save("thousand_epochs", {"epochs": arguments.epochs, "seconds": seconds, "first": first})
    whole = seconds * 1000 / arguments.epochs
    verdict({f"1,000 epochs take {whole:.0f} s, at most 120": whole <= 120})


if __name__ == "__main__":
    main()
