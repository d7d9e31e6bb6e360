"""Claim: the paper's 1,000 epochs of 50,000 images take at most two minutes of one GPU.

DIM(L), JSD, the paper's encoder, batch 64 and optimiser; the lean critic of width 2048; no prior.
Without a GPU nothing is measured and nothing written.

    SKDIM_DATA=<folder> python benchmarks/bench_thousand_epochs.py
"""

import argparse
import time

import torch
from common import data_loader, save, verdict

from skdim import DIMTransformer


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
