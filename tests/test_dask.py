"""Dask: folds on the workers of a cluster, features of the chunks of an array."""

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skdim import DIMTransformer

array = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

X, y = load_digits(return_X_y=True)
X, y = X[:200].astype(np.float32), y[:200]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_a_search_on_a_cluster_finds_what_it_finds_here(client):
    dim = DIMTransformer(8, max_epochs=1, random_state=0, device="cpu")
    grid = {"dimtransformer__global_weight": [0, 1]}
    search = GridSearchCV(make_pipeline(dim, LogisticRegression()), grid, cv=2, n_jobs=2)
    with joblib.parallel_backend("dask"):
        there = search.fit(X, y).cv_results_["mean_test_score"]
    here = search.set_params(n_jobs=1).fit(X, y).cv_results_["mean_test_score"]
    np.testing.assert_allclose(there, here, atol=0.02)  # threads may differ


def test_chunks_are_transformed_on_the_workers(client):
    dim = DIMTransformer(8, max_epochs=1, random_state=0, device="cpu").fit(X)
    features = dim.transform(array.from_array(X, chunks=(64, 10)))
    np.testing.assert_allclose(client.compute(features).result(), dim.transform(X), atol=1e-5)
