"""Claim: features beat PCA on at least 15 images, and raw columns on at least 100 rows of a table.

The extractor and LogisticRegression are fitted on n of scikit-learn's digits only, and scored on
all others: as images, and as tables of 64 columns. Raw values and PCA are measured for comparison.
The threshold of FewSamplesWarning comes from this table.

Command: python -m benchmarks.accuracy.bench_few_samples
n: 3 seeds, 15 to 200 samples
Hardware: 2 cores of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.common import argument_parser, fit_and_score, mean_and_std, save, verdict
from skdim import DIMTransformer
from skdim.exceptions import FewSamplesWarning

SIZES = (15, 30, 50, 100, 200)
SEEDS = (0, 1, 2)


def main():
    argument_parser(__doc__).parse_args()
    warnings.simplefilter("ignore", FewSamplesWarning)
    digits = load_digits()
    cells = {}
    for kind, X in {"images": digits.images, "rows": digits.data}.items():
        for n in SIZES:
            for seed in SEEDS:
                order = np.random.default_rng(seed).permutation(len(X))
                train, test = order[:n], order[n:]
                extractors = {
                    "raw": StandardScaler(),
                    "PCA": make_pipeline(PCA(min(n - 1, 64)), StandardScaler()),
                    "DIM": DIMTransformer(random_state=seed),
                }
                for name, extractor in extractors.items():
                    is_dim = name == "DIM"
                    source = X if is_dim else digits.data
                    extractor.fit(source[train])
                    score, _ = fit_and_score(
                        extractor.transform(source[train]),
                        digits.target[train],
                        extractor.transform(source[test]),
                        digits.target[test],
                        max_iter=2000,
                    )
                    cells.setdefault(f"{kind} {n}", {}).setdefault(name, []).append(score)
            row = cells[f"{kind} {n}"]
            print(
                f"{kind:<7} {n:>4}  " + "  ".join(f"{k} {mean_and_std(v)}" for k, v in row.items())
            )
    save("few_samples", {"seeds": SEEDS, "accuracy": cells})

    def gain(cell, other):
        return np.mean(cells[cell]["DIM"]) - np.mean(cells[cell][other])

    claims = {
        f"images {n}: above PCA by {gain(f'images {n}', 'PCA'):.3f}": gain(f"images {n}", "PCA") > 0
        for n in SIZES
    }
    claims |= {
        f"rows {n}: above raw by {gain(f'rows {n}', 'raw'):.3f}": gain(f"rows {n}", "raw") > 0
        for n in (100, 200)
    }
    verdict(claims)


if __name__ == "__main__":
    main()
