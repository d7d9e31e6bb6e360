"""Claim: image features beat PCA's from 15 samples on; those of rows the columns from 100 on.

Fitted, and classified by LogisticRegression, on n of scikit-learn's digits alone, scored on all
the others; as images and as rows of 64 columns; three seeds. Raw values and PCA beside it. The
threshold of FewSamplesWarning is read off this table.

    python benchmarks/bench_few_samples.py
"""

import warnings

import numpy as np
from common import fit_and_score, save, spread, verdict
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdim import DIMTransformer
from skdim._training.advice import FewSamplesWarning

SIZES = (15, 30, 50, 100, 200)
SEEDS = (0, 1, 2)


def main():
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
                    of_dim = name == "DIM"
                    source = X if of_dim else digits.data
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
            print(f"{kind:<7} {n:>4}  " + "  ".join(f"{k} {spread(v)}" for k, v in row.items()))
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
