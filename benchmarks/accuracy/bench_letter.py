"""Claim: for a linear model, codes of tabular data are better than raw columns and Nystroem-64.

UCI letter (16 columns, 26 classes), 16,000 training and 4,000 test samples. LogisticRegression on
all labels and on 520 (20 a class on average; mean of three draws); default DIMTransformer.

Command: SKDIM_DATA=<folder> python -m benchmarks.accuracy.bench_letter
n: 3 seeds
Hardware: 2 cores of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import time

import numpy as np
from sklearn.kernel_approximation import Nystroem
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.common import (
    argument_parser,
    data_loader,
    fit_and_score,
    mean_and_std,
    save,
    verdict,
)
from skdim import DIMTransformer

SEEDS = (0, 1, 2)


def main():
    argument_parser(__doc__).parse_args()
    data = data_loader()
    X, y = data.load_letter("train")
    X_test, y_test = data.load_letter("test")
    scores: dict[str, dict[str, list[float]]] = {}
    seconds = []
    for seed in SEEDS:
        extractors = {
            "raw": StandardScaler(),
            "Nystroem-64": make_pipeline(
                StandardScaler(), Nystroem(n_components=64, random_state=seed), StandardScaler()
            ),
            "DIM": DIMTransformer(random_state=seed),
        }
        for name, extractor in extractors.items():
            start = time.perf_counter()
            train = extractor.fit_transform(X)
            if name == "DIM":
                seconds.append(time.perf_counter() - start)
            test = extractor.transform(X_test)
            draws = [np.random.default_rng([seed, k]).permutation(len(X))[:520] for k in range(3)]
            few = [fit_and_score(train[i], y[i], test, y_test, max_iter=1000)[0] for i in draws]
            cell = scores.setdefault(name, {"all": [], "520": []})
            cell["all"].append(fit_and_score(train, y, test, y_test, max_iter=1000)[0])
            cell["520"].append(float(np.mean(few)))
    print(f"{'features':<12} {'all labels':<20} {'520 labels':<20}  3 seeds: mean +- std")
    for name, cell in scores.items():
        print(f"{name:<12} {mean_and_std(cell['all']):<20} {mean_and_std(cell['520']):<20}")
    print(f"seconds to fit DIM: median {np.median(seconds):.1f}")
    save("letter", {"seeds": SEEDS, "accuracy": scores, "fit_seconds": seconds})
    ours = {labels: np.mean(scores["DIM"][labels]) for labels in ("all", "520")}
    verdict(
        {
            f"DIM above {name}, {labels} labels": ours[labels] > np.mean(scores[name][labels])
            for name in ("raw", "Nystroem-64")
            for labels in ("all", "520")
        }
    )


if __name__ == "__main__":
    main()
