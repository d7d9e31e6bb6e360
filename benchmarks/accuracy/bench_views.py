"""Claim: features are better if the level of every channel changes from view to view.

Default views of colour images change gain and level of each channel by itself, as another colour of
the light does. Default views of signals add a baseline that wanders. Otherwise, views of one sample
have the same mean, and other samples another one: little else has to be learned.

Default fits with and without these changes, and LogisticRegression with 10 labels a class (mean of
three draws) and with all, at most 4,000, on test samples; C is the default. "cifar10", all 50,000
photographs, is measured only if it is named.

In the mean over the data sets, both outputs must be better with few labels, and with all labels not
worse by more than 0.002.

Command: SKDIM_DATA=<folder> python -m benchmarks.accuracy.bench_views
n: 2 seeds
Hardware: 2 cores with AMX of an Intel Xeon, no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import warnings
from functools import partial

import numpy as np
from torch import Tensor

from benchmarks.accuracy.bench_readouts import N_LABELLED, classify
from benchmarks.common import Cells, argument_parser, features_by_output, print_machine, verdict
from benchmarks.datasets import UCR, Data, load
from skdim import DIMTransformer
from skdim.augmentation import crop_and_flip, crop_and_warp, jitter_amplitudes, jitter_colors
from skdim.modalities import VIEW_SIZE

DATA = ("cifar10-5k", "sensors", *UCR)
OUTPUTS = ("components", "hidden")
LABELS = ("10 a class", "all")


def colours_of_one_light(images: Tensor, generator) -> Tensor:
    """Default views of colour images, but the channels do not change by themselves."""
    views = crop_and_flip(images, generator, size=VIEW_SIZE)
    return jitter_colors(views, generator, tint=0.0)


def signals_of_one_level(signals: Tensor, generator) -> Tensor:
    """Default views of signals, but no baseline wanders."""
    return jitter_amplitudes(crop_and_warp(signals, generator), generator, drift=0.0)


# Features of colour images are averaged over flips by default, but not if they have other views.
WITHOUT: dict[str, dict] = {
    "images": {"augment": colours_of_one_light, "flip_averaging": True},
    "signals": {"augment": signals_of_one_level},
}


def cell(data: Data, params: dict, seed: int) -> dict:
    """Accuracies by output and number of labels."""
    dim = DIMTransformer(random_state=seed, **data.params, **params).fit(data.X)
    labelled = np.random.default_rng(seed).permutation(len(data.X))[:N_LABELLED]
    some = data._replace(X=data.X[labelled], y=data.y[labelled])
    features = features_by_output(dim, OUTPUTS, some)
    return {
        "accuracy": {
            output: classify(train, some.y, test, some.y_test, seed)
            for output, (train, test) in features.items()
        }
    }


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--data", nargs="+", default=DATA, choices=[*DATA, "cifar10"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # a few hundred iterations are a choice
    results = Cells("views", fresh=arguments.fresh)
    gains: dict[tuple[str, str], list[float]] = {}
    for name in arguments.data:
        data = load(name)
        accuracy: dict[str, list[dict]] = {}
        for seed in range(arguments.seeds):
            for views, params in (("without", WITHOUT[data.kind]), ("default", {})):
                record = results.get(f"{name}|{views}|{seed}", partial(cell, data, params, seed))
                accuracy.setdefault(views, []).append(record["accuracy"])
        for output in OUTPUTS:
            for labels in LABELS:
                if labels not in accuracy["default"][0][output]:
                    continue  # there are not so many
                before, now = (
                    [scores[output][labels] for scores in accuracy[views]]
                    for views in ("without", "default")
                )
                print(
                    f"{name:<16} {output:<10} {labels:<10}  {np.mean(before):.3f} +- "
                    f"{np.std(before):.3f}  ->  {np.mean(now):.3f} +- {np.std(now):.3f}",
                    flush=True,
                )
                gains.setdefault((output, labels), []).append(np.mean(now) - np.mean(before))
    print_machine()
    verdict(
        {
            f"gain of {output}, {labels}: {np.mean(values):+.3f}": bool(
                np.mean(values) > (-0.002 if labels == "all" else 0.0)
            )
            for (output, labels), values in gains.items()
        }
    )


if __name__ == "__main__":
    main()
