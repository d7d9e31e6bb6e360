"""Claim: features of colour images are better if their views have light of other colours.

Default views of colour images change gain and level of each channel by itself. Otherwise, views of
one image have nearly the same mean colour, and other images another one: little else has to be
learned. Default fits with and without this change, and LogisticRegression with 10 and 50 labels a
class (means of three draws) and with all, at most 4,000, on test images; C is the default.

Photographs are the 5,000 of "cifar10-5k", and all 50,000 of "cifar10" only if it is named.
"colours" are the clothes of Fashion-MNIST, each in one of ten hues, which are the classes: they
show what the change costs if it is wrong, for comparison.

Both outputs must be better on photographs with every number of labels.

Command: SKDIM_DATA=<folder> python -m benchmarks.accuracy.bench_views
n: 2 seeds
Hardware: 1 core with AMX of an Intel Xeon, no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
from matplotlib.colors import hsv_to_rgb
from torch import Tensor

from benchmarks.accuracy.bench_readouts import classify, labelled
from benchmarks.common import Cells, argument_parser, features_by_output, print_machine, verdict
from benchmarks.datasets import Data, clothes, load
from skdim import DIMTransformer
from skdim.augmentation import crop_and_flip, jitter_colors
from skdim.modalities import VIEW_SIZE

OUTPUTS = ("components", "hidden")
N_HUES = 10


def colours(n: int = 4000, n_test: int = 2000) -> Data:
    """Clothes in colour: images (n, 28, 28, 3) and the hue of each, 0 to 9."""
    kind, X, _, X_test, _ = clothes(n)
    rng = np.random.default_rng(0)
    y, y_test = (rng.integers(N_HUES, size=size) for size in (n, n_test))
    return Data(kind, _coloured(X, y, rng), y, _coloured(X_test[:n_test], y_test, rng), y_test)


def _coloured(X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    hue = (y + rng.uniform(0, 1, len(y))) / N_HUES
    saturation = rng.uniform(0.3, 1, len(y))
    colour = hsv_to_rgb(np.stack([hue, saturation, np.ones(len(y))], 1))  # (n, 3)
    return (X[..., None] * colour[:, None, None]).astype(np.float32)


DATA: dict[str, Callable[[], Data]] = {
    "cifar10-5k": partial(load, "cifar10-5k"),
    "colours": colours,
    "cifar10": partial(load, "cifar10"),
}


def in_one_light(images: Tensor, generator) -> Tensor:
    """Default views of colour images, but the channels do not change by themselves."""
    views = crop_and_flip(images, generator, size=VIEW_SIZE)
    return jitter_colors(views, generator, tint=0.0)


# Features are averaged over flips by default, but not if the views are the user's.
VIEWS: dict[str, dict] = {
    "without": {"augment": in_one_light, "flip_averaging": True},
    "default": {},
}


def cell(data: Data, params: dict, seed: int) -> dict:
    """Accuracies by output and number of labels."""
    dim = DIMTransformer(random_state=seed, **params).fit(data.X)
    X, y = labelled(data, seed)
    features = features_by_output(dim, OUTPUTS, data._replace(X=X))
    return {
        "accuracy": {
            output: classify(train, y, test, data.y_test, seed)
            for output, (train, test) in features.items()
        }
    }


def compare(
    results: Cells, name: str, data: Data, settings: dict[str, dict], seeds: int
) -> dict[str, dict[str, float]]:
    """Mean accuracy by output and number of labels, for the parameters of each setting."""
    means: dict[str, dict[str, float]] = {}
    for setting, params in settings.items():
        cells = [
            results.get(f"{name}|{setting}|{seed}", partial(cell, data, params, seed))
            for seed in range(seeds)
        ]
        for output in OUTPUTS:
            for labels in cells[0]["accuracy"][output]:
                scores = [c["accuracy"][output][labels] for c in cells]
                means.setdefault(f"{output}, {labels}", {})[setting] = float(np.mean(scores))
                spread = f"{np.mean(scores):.3f} +- {np.std(scores):.3f}"
                print(f"{name:<12} {setting:<8} {output:<10} {labels:<10} {spread}", flush=True)
    return means


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--data", nargs="+", default=["cifar10-5k", "colours"], choices=DATA)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # a few hundred iterations are a choice
    results = Cells("views", fresh=arguments.fresh)
    outcomes = {}
    for name in arguments.data:
        means = compare(results, name, DATA[name](), VIEWS, arguments.seeds)
        for case, accuracy in means.items():
            gain = accuracy["default"] - accuracy["without"]
            text = f"gain on {name}, {case}: {gain:+.3f}"
            if name == "colours":
                print(text)
            else:
                outcomes[text] = gain > 0
    print_machine()
    verdict(outcomes)


if __name__ == "__main__":
    main()
