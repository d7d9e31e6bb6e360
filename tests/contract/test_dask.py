"""Dask: folds on the workers of a cluster, features of chunks of an array, a fit of all workers."""

import os
import re
from multiprocessing import forkserver
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from skdim import DIMTransformer

dask = pytest.importorskip("dask")
array = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

X, y = load_digits(return_X_y=True)
X, y = X[:200].astype(np.float32), y[:200]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


SCALE = Path(__file__).parents[2] / "docs" / "scale.md"


@pytest.fixture(scope="module")
def client():
    """A client of two workers that share their imports."""
    if hasattr(os, "fork"):  # or else Dask starts them in its own way
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OMP_NUM_THREADS", "1")  # as Dask does for workers
            forkserver.set_forkserver_preload(["distributed", "skdim.transformer"])
            forkserver.ensure_running()
    with (
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.filterwarnings("ignore:X has values in channel")  # of pixels that are rarely used
def test_a_search_in_threads_of_workers_repeats_and_finds_what_it_finds_here(client):
    dim = DIMTransformer(8, max_epochs=1, random_state=0, device="cpu")
    grid = {"dimtransformer__prior_weight": [0, 0.1]}
    # A loss, which shows the last bit.
    search = GridSearchCV(
        make_pipeline(dim, LogisticRegression()),
        grid,
        scoring="neg_log_loss",
        cv=2,
        n_jobs=4,
        refit=False,
    )

    def scores():
        results = search.fit(X, y).cv_results_
        return [results[f"split{i}_test_score"] for i in range(2)]

    with joblib.parallel_backend("dask"):
        first, second = scores(), scores()
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the workers, where Dask sets OMP_NUM_THREADS
    try:
        with threadpool_limits(1):
            search.set_params(n_jobs=1)
            here = scores()
    finally:
        torch.set_num_threads(n_threads)
    assert len(set(np.ravel(here))) == 4  # no two fits are alike
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, here)


def test_chunks_are_transformed_on_the_workers(client):
    dim = DIMTransformer(8, max_epochs=1, random_state=0, device="cpu").fit(X)
    features = dim.transform(array.from_array(X, chunks=(64, 10)))
    np.testing.assert_allclose(client.compute(features).result(), dim.transform(X), atol=1e-5)


def test_workers_fit_together_and_again(client, tmp_path):
    """The functions of the page on scale."""
    (block,) = re.findall(r"```python\n(import socket\n.*?)```", SCALE.read_text(), re.DOTALL)
    np.save(tmp_path / "X.npy", X)
    page = {"__name__": "page", "os": os, "np": np, "DIMTransformer": DIMTransformer}
    page["folder"] = str(tmp_path)
    exec(compile(block, SCALE.name, "exec"), page)
    fits = [*page["fit_together"](client), *page["fit_together"](client)]
    features = [dim.transform(X) for dim in fits]
    assert len(features) == 4
    assert all(np.array_equal(features[0], other) for other in features)


CHANGES = {
    "another fit": lambda dim: dim.fit(X[::-1] ** 2),
    "another pass": lambda dim: dim.partial_fit(X),
    "another output": lambda dim: dim.set_params(output="hidden"),
    "another layout": lambda dim: dim.set_params(sample_shape=(8, 8)),
    "another container": lambda dim: dim.set_output(transform="pandas"),
    "trim": lambda dim: dim.trim(),
    "to": lambda dim: dim.to("cpu"),
    "everything": lambda dim: vars(dim).clear(),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_features_are_those_of_the_transformer_that_was_asked(change, scheduler):
    dim = DIMTransformer(8, max_epochs=1, random_state=0, device="cpu").fit(X)
    expected, features = dim.transform(X), dim.transform(array.from_array(X, chunks=(200, 64)))
    CHANGES[change](dim)
    np.testing.assert_array_equal(features.compute(scheduler=scheduler), expected)
