"""skops reads what skdim names, and needs no more."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import skdim
from skdim import Checkpoint
from skdim.priors import Prior

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("with_checkpoint", [False, True])
def test_skops_trusts_what_skdim_names_and_needs_no_more(quick, tmp_path, with_checkpoint):
    skops = pytest.importorskip("skops.io")
    X = RNG.normal(size=(40, 5))
    checkpoint = Checkpoint(str(tmp_path / "states"), every_epochs=2) if with_checkpoint else None
    pipeline = make_pipeline(quick(checkpoint=checkpoint), LogisticRegression())
    pipeline.fit(X, X[:, 0] > 0)
    skops.dump(pipeline, tmp_path / "pipeline.skops")
    trusted = skdim.get_skops_trusted()
    needed = ["skdim.transformer.DIMTransformer"]
    needed = ["skdim.Checkpoint", *needed] if with_checkpoint else needed
    assert skops.get_untrusted_types(file=tmp_path / "pipeline.skops") == needed
    again = skops.load(tmp_path / "pipeline.skops", trusted=trusted)
    np.testing.assert_array_equal(again.predict_proba(X), pipeline.predict_proba(X))
    assert again[0].checkpoint == checkpoint


def test_skops_trusts_priors(quick):
    skops = pytest.importorskip("skops.io")
    dim = quick(prior=Prior("uniform", gradient_penalty=1.0), prior_weight=0.1)
    again = skops.loads(skops.dumps(dim), trusted=skdim.get_skops_trusted())
    assert vars(again.prior) == vars(dim.prior)
