"""Claim: every MI estimator trains with every critic, every prior and every modality.

Two epochs on a few hundred samples for each combination. Every term must be finite. What encoder
and critics minimise together (the two bounds, weighted) must be lower in the second epoch than in
the first. Terms of the prior need not fall, because the prior's loss is adversarial.

Data: scikit-learn's digits as images, their columns as tables, their pixels in a line as signals,
eight of them on top of each other as volumes.

Command: python -m benchmarks.accuracy.bench_choices
n: 336 combinations, 1 seed
Hardware: 2 cores of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import warnings
from itertools import product

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from benchmarks.common import argument_parser, save, verdict
from skdim import DIMTransformer
from skdim.critics import CRITICS
from skdim.mutual_information import ESTIMATORS
from skdim.priors import PRIORS


def modalities():
    """Name to (X, channel_axis)."""
    digits = load_digits()
    order = np.argsort(digits.target, kind="stable")
    same = digits.images[order][: 1792 // 8 * 8].reshape(-1, 8, 8, 8)  # eight of one class
    return {
        "rows": (digits.data[:256], "auto"),
        "signals": (digits.data[:256], None),
        "images": (digits.images[:256], "auto"),
        "volumes": (same[:224], None),
    }


def main():
    argument_parser(__doc__).parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # two epochs settle nothing
    results = []
    data = modalities()
    for modality, mi_estimator, critic, prior in product(
        data, ESTIMATORS, CRITICS, [None, *PRIORS]
    ):
        X, channel_axis = data[modality]
        dim = DIMTransformer(
            16,
            channel_axis=channel_axis,
            mi_estimator=mi_estimator,
            critic=critic,
            critic_width=64,
            global_weight=0.5,
            n_locations=16,
            prior=prior or "uniform",
            prior_weight=0.1 if prior else 0.0,
            encoder_params={"width": 16},
            batch_size=32,
            max_epochs=2,
            learning_rate=1e-3,
            lr_schedule="constant",
            random_state=0,
        ).fit(X)
        first, second = (-(epoch["local"] + 0.5 * epoch["global"]) for epoch in dim.history_)
        finite = np.isfinite([list(epoch.values()) for epoch in dim.history_]).all()
        results.append(
            {
                "modality": modality,
                "estimator": mi_estimator,
                "critic": critic,
                "prior": prior,
                "loss": [first, second],
                "holds": bool(finite and second < first),
            }
        )
    print(f"{'modality':<10} {'estimator':<10} {'critic':<20} trained, by prior")
    for modality, mi_estimator, critic in product(data, ESTIMATORS, CRITICS):
        rows = [
            r
            for r in results
            if (r["modality"], r["estimator"], r["critic"]) == (modality, mi_estimator, critic)
        ]
        marks = "  ".join(f"{r['prior'] or 'none'}: {'yes' if r['holds'] else 'NO'}" for r in rows)
        print(f"{modality:<10} {mi_estimator:<10} {critic:<20} {marks}")
    save("choices", {"combinations": len(results), "rows": results})
    n_held = sum(r["holds"] for r in results)
    verdict({f"{n_held} of {len(results)} combinations train": n_held == len(results)})


if __name__ == "__main__":
    main()
