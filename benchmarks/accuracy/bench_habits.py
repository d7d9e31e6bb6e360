"""Claim: what people put behind features finds ours better than pixels; only a scaler harms them.

Digits, 100 labels: accuracy of six classifiers on pixels, on PCA and on features of skdim, as they
come and behind a StandardScaler; and the adjusted Rand index of ten clusters of k-means with all
samples, without any label. Nothing is tuned.

Command: python -m benchmarks.accuracy.bench_habits
n: 3 seeds of one split, 4 draws of labels each
Hardware: 2 cores of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import warnings

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.accuracy.bench_features import draw
from benchmarks.common import argument_parser, features_by_output, flatten, save, verdict
from benchmarks.datasets import Data, digits
from skdim import DIMTransformer

N_PER_CLASS = 10
N_DRAWS = 4

CLASSIFIERS = {
    "LogisticRegression": LogisticRegression(max_iter=3000),
    "SVC": SVC(),
    "5-NN": KNeighborsClassifier(),
    "5-NN, cosine": KNeighborsClassifier(metric="cosine"),
    "RandomForest": RandomForestClassifier(random_state=0),
    "MLP": MLPClassifier(max_iter=1000, random_state=0),
}


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    data, rows = digits(), {}
    for seed in range(arguments.seeds):
        for name, (train, test) in features(data, seed).items():
            for is_scaled in (False, True):
                label = f"{name}, scaled" if is_scaled else name
                scores = measure(train, test, data, seed, is_scaled=is_scaled)
                rows.setdefault(label, []).append(scores)
    means = {
        label: {head: float(np.mean([scores[head] for scores in row])) for head in row[0]}
        for label, row in rows.items()
    }
    heads = [*CLASSIFIERS, "k-means, ARI"]
    print(f"{'':<20}" + "".join(f"{head:>20}" for head in heads))
    for label, scores in means.items():
        print(f"{label:<20}" + "".join(f"{scores[head]:>20.3f}" for head in heads))
    save("habits", {"means": means, "seeds": rows})
    ours, pixels, scaled = (means[k] for k in ("components", "pixels", "components, scaled"))
    verdict(
        {
            f"{head}: {ours[head]:.3f} above pixels {pixels[head]:.3f}": ours[head] > pixels[head]
            for head in heads
        }
        | {
            f"{head}: not better scaled, {scaled[head]:.3f}": scaled[head] <= ours[head] + 0.005
            for head in heads
        }
    )


def features(data: Data, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    pixels = flatten(data.X), flatten(data.X_test)
    pca = PCA(64, random_state=seed).fit(pixels[0])
    dim = DIMTransformer(random_state=seed).fit(data.X)
    return {
        "pixels": pixels,
        "PCA-64": tuple(map(pca.transform, pixels)),
        **features_by_output(dim, ("components", "hidden"), data),
    }


def measure(train, test, data: Data, seed: int, *, is_scaled: bool) -> dict[str, float]:
    steps = (StandardScaler(),) if is_scaled else ()
    draws = [draw(data.y, N_PER_CLASS, [seed, k]) for k in range(N_DRAWS)]
    scores = {}
    for head, classifier in CLASSIFIERS.items():
        pipeline = make_pipeline(*steps, classifier)
        accuracies = [pipeline.fit(train[i], data.y[i]).score(test, data.y_test) for i in draws]
        scores[head] = float(np.mean(accuracies))
    clusters = make_pipeline(*steps, KMeans(10, n_init=10, random_state=seed)).fit_predict(train)
    return {**scores, "k-means, ARI": float(adjusted_rand_score(data.y, clusters))}


if __name__ == "__main__":
    main()
