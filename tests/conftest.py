"""Small, seeded data for every modality, and a transformer that trains for a moment.

The tests of a module have its path and its name, without the underscores of private names:
``tests/training/test_net.py`` tests ``skdim/_training/net.py``. Other folders hold

* ``contract``: what skdim promises to other libraries, and for every modality alike,
* ``device``: the suite of a pretended GPU, in a process of its own,
* ``robustness``: random cases, hostile files, interrupts, threads, GPUs, and stress tests,
* ``repository``: pages, pictures, benchmarks, structure and English,
* ``helpers``: what several tests share, and programs that tests run,
* ``tools``: programs for who works on skdim.
"""

import gc

import pytest

# Fixtures import what they need: the process that hands out tests to others needs no torch.


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Look for garbage while tests run, not while they are imported, nor among what that made."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def digits():
    """Images of shape (1797, 8, 8) and their labels."""
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=False)


@pytest.fixture(scope="session")
def images(digits):
    return digits.images[:90].astype("float32")


@pytest.fixture(scope="session")
def rows():
    from sklearn.datasets import make_classification

    X, y = make_classification(120, n_features=9, n_informative=6, random_state=0)
    return X.astype("float32"), y


@pytest.fixture(scope="session")
def quick():
    """Build a transformer whose fits take a moment."""
    from skdim import DIMTransformer

    def build(**params):
        defaults = {"n_components": 8, "max_epochs": 2, "batch_size": 32, "random_state": 0}
        defaults["transform_batch_size"] = 32  # in a larger one, most of it would be padding
        if "encoder" not in params:  # others may have no such parameters
            # Narrower rows round alike in no batch, and are computed one by one.
            defaults["encoder_params"] = {"width": 12, "n_hidden": 32}
        return DIMTransformer(**{**defaults, **params})

    return build


@pytest.fixture
def set_default_width(monkeypatch):
    """Change the default width of the network of images, for fits with the other defaults."""
    from skdim.encoders import ConvEncoder

    def change(width):
        _, *others = ConvEncoder.__init__.__defaults__
        monkeypatch.setattr(ConvEncoder.__init__, "__defaults__", (width, *others))

    return change
