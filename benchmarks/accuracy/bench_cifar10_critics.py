"""Claim: none. The critics are compared: what each costs, and how good its features are.

JSD and infoNCE, each with the lean separable critic, the one by cosines, the published one and
concat-and-convolve, all of width 512; otherwise the defaults (two views), at equal steps. Trained
on the first 10,000 CIFAR-10 training images for 3 epochs, scored by LogisticRegression on the
10,000 test images.

Command: SKDIM_DATA=<folder> python -m benchmarks.accuracy.bench_cifar10_critics
n: 3 seeds; the eight settings in turn within each seed
Hardware: 2 cores of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

from itertools import product

import numpy as np

from benchmarks.common import argument_parser, data_loader, fit_and_score, mean_and_std, save
from skdim import DIMTransformer

ESTIMATORS = ("jsd", "infonce")
CRITICS = ("separable", "cosine", "separable_published", "concat")


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    data = data_loader()
    X_train, y_train = data.load_cifar10("train", n=10_000)
    X_test, y_test = data.load_cifar10("test")
    settings = list(product(ESTIMATORS, CRITICS))
    accuracy = {setting: [] for setting in settings}
    speed = {setting: [] for setting in settings}
    for seed in range(arguments.seeds):
        for mi_estimator, critic in settings:
            dim = DIMTransformer(
                mi_estimator=mi_estimator,
                critic=critic,
                critic_width=512,
                max_epochs=arguments.epochs,
                random_state=seed,
            ).fit(X_train)
            score, _ = fit_and_score(
                dim.transform(X_train), y_train, dim.transform(X_test), y_test, max_iter=1000
            )
            accuracy[mi_estimator, critic].append(score)
            speed[mi_estimator, critic] += [e["samples_per_second"] for e in dim.history_]
            print(f"seed {seed} {mi_estimator:<8} {critic:<20} {score:.4f}", flush=True)
    print(f"\n{'estimator':<10} {'critic':<20} {'accuracy':<20} samples/s (median, all epochs)")
    for setting in settings:
        mi_estimator, critic = setting
        rate = np.median(speed[setting])
        print(f"{mi_estimator:<10} {critic:<20} {mean_and_std(accuracy[setting]):<20} {rate:.0f}")
    rows = [
        {"estimator": e, "critic": c, "accuracy": accuracy[e, c], "samples_per_second": speed[e, c]}
        for e, c in settings
    ]
    save("cifar10_critics", {"seeds": arguments.seeds, "epochs": arguments.epochs, "rows": rows})


if __name__ == "__main__":
    main()
