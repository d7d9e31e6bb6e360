"""Equal values have equal fingerprints, and an edited function another."""

import importlib.util
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
import warnings
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from helpers.fits import ROWS, FixedSeed, dim, one_of, scaled
from sklearn.base import clone

from skdim._training.checkpoint import key_of
from skdim._training.fingerprint import fingerprint


def fingerprints():
    value = [one_of(3), scaled(2), {"a": {1, "x", 2.5}, "b": np.arange(3)}]
    return [fingerprint(value), *(fingerprint(view_of(name, 0.1)) for name in HELPERS)]


def test_fingerprints_are_the_same_in_every_process():
    code = "from tests.training.test_fingerprint import fingerprints; print(*fingerprints())"
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"  # another order of sets
    other = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": "tests"},
        capture_output=True,
        check=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert other.stdout.split() == fingerprints()


# Ways from a function for views to a helper, which may be edited. A view is a module's ``view``.
HELPERS = {
    "called": "def view(batch, generator): return sigma() * batch",
    "called by a helper": "def other(): return sigma()\ndef view(b, g): return other() * b",
    "called by a lambda": "view = lambda b, g: sigma() * b",
    "called by an inner function": "def view(b, g): return (lambda: sigma())() * b",
    "in a default": "def view(b, g, helper=sigma): return helper() * b",
    "in a keyword default": "def view(b, g, *, helper=sigma): return helper() * b",
    "in a closure": (
        "def outer(helper):\n"
        " def view(b, g): return helper() * b\n"
        " return view\n"
        "view = outer(sigma)"
    ),
    "in a list": "helpers = [sigma]\ndef view(b, g): return helpers[0]() * b",
    "in a dict": "helpers = {'sigma': sigma}\ndef view(b, g): return helpers['sigma']() * b",
    "in a set": "helpers = {sigma}\ndef view(b, g): return min(h() for h in helpers) * b",
    "in a method of a dict": "view = {'sigma': sigma}.get",
    "in an array": "helpers = np.array([sigma])\ndef view(b, g): return helpers[0]() * b",
    "attribute of a module": "def view(b, g): return module.sigma() * b",
    "attribute of a function": "def view(b, g): return view.helper() * b\nview.helper = sigma",
    "functools.wraps": (
        "def twice(function):\n"
        " @functools.wraps(function)\n"
        " def wrapper(*args): return 2 * function(*args)\n"
        " return wrapper\n"
        "@twice\n"
        "def view(b, g): return sigma() * b"
    ),
    "functools.partial": "view = functools.partial(lambda helper, b, g: helper() * b, sigma)",
    "functools.cache": "helper = functools.cache(sigma)\ndef view(b, g): return helper() * b",
    "functools.lru_cache": "view = functools.lru_cache(maxsize=1)(lambda b, g: sigma() * b)",
    "functools.singledispatch": "view = functools.singledispatch(lambda b, g: sigma() * b)",
    "functools.reduce": "def view(b, g): return functools.reduce(lambda b, g: sigma() * b, [b, g])",
    "numpy.vectorize": "view = np.vectorize(sigma)",
    "torch.no_grad": "view = torch.no_grad()(sigma)",
    "torch.inference_mode": "@torch.inference_mode()\ndef view(b, g): return sigma() * b",
    "torch.vmap": "view = torch.vmap(sigma)",
    "torch.jit.script": "view = torch.jit.script(sigma)",
    "a scripted function that calls one": (
        "other = torch.jit.script(sigma)\n"
        "@torch.jit.script\n"
        "def view(b: torch.Tensor) -> torch.Tensor:\n return other() * b"
    ),
    "a scripted module": (
        "class View(torch.nn.Module):\n"
        " def forward(self, b): return sigma() * b\n"
        "view = torch.jit.script(View())"
    ),
    "weights of a scripted module": (
        "layer = torch.nn.Linear(1, 1, device='meta').to_empty(device='cpu')\n"
        "torch.nn.init.constant_(layer.weight, sigma())\n"
        "torch.nn.init.zeros_(layer.bias)\n"
        "view = torch.jit.script(layer)"
    ),
    "torch.jit.trace": "view = torch.jit.trace(lambda b: sigma() * b, torch.ones(2))",
    "a constant of torch.jit.trace": (
        "scale = torch.full((3,), sigma())\n"
        "view = torch.jit.trace(lambda b: scale * b, torch.ones(3))"
    ),
    "functools.cache of an object": "view = functools.cache(functools.partial(sigma))",
    "size of a cache": "view = functools.lru_cache(maxsize=int(10 * sigma()))(len)",
    "functools.partialmethod": (
        "class View:\n"
        " def scaled(self, scale, b, g): return scale * b\n"
        " __call__ = functools.partialmethod(scaled, sigma())\n"
        "view = View()"
    ),
    "functools.singledispatchmethod": (
        "class View:\n"
        " @functools.singledispatchmethod\n"
        " def __call__(self, b, g): return sigma() * b\n"
        "view = View()"
    ),
    "cached property of an object": (
        "class Scale:\n"
        " def __call__(self, view): return sigma()\n"
        "class View:\n"
        " scale = functools.cached_property(Scale())\n"
        " def __call__(self, b, g): return self.scale * b\n"
        "view = View()"
    ),
    "torch.autograd.Function": (
        "class Scale(torch.autograd.Function):\n"
        " @staticmethod\n"
        " def forward(ctx, b): return sigma() * b\n"
        "def view(b, g): return Scale.apply(b)"
    ),
    "joblib.Memory": "view = joblib.Memory(None).cache(sigma)",
    "joblib.delayed": "view = joblib.delayed(sigma)",
    "contextlib.contextmanager": "view = contextlib.contextmanager(sigma)",
    "object with __wrapped__": (
        "class View:\n"
        " def __init__(self, function): functools.update_wrapper(self, function)\n"
        " def __call__(self, b, g): return self.__wrapped__() * b\n"
        "view = View(sigma)"
    ),
    "object with __wrapped__ and a lock": (
        "class View:\n"
        " def __init__(self, function):\n"
        "  functools.update_wrapper(self, function); self.lock = threading.Lock()\n"
        " def __call__(self, b, g): return self.__wrapped__() * b\n"
        "view = View(sigma)"
    ),
    "object": "class View:\n def __call__(self, b, g): return sigma() * b\nview = View()",
    "object with slots": (
        "class View:\n"
        " __slots__ = ('helper',)\n"
        " def __init__(self, helper): self.helper = helper\n"
        " def __call__(self, b, g): return self.helper() * b\n"
        "view = View(sigma)"
    ),
    "data class": (
        "@dataclasses.dataclass(frozen=True)\n"
        "class View:\n"
        " weights: list = dataclasses.field(default_factory=sigma)\n"
        " def __call__(self, b, g): return self.weights * b\n"
        "view = View()"
    ),
    "abstract class": (
        "class Base(abc.ABC):\n"
        " @abc.abstractmethod\n"
        " def helper(self): return sigma()\n"
        "class View(Base):\n"
        " def helper(self): return super().helper()\n"
        " def __call__(self, b, g): return self.helper() * b\n"
        "view = View()"
    ),
    "bound method": (
        "class Views:\n def noise(self, b, g): return sigma() * b\nview = Views().noise"
    ),
    "static method": (
        "class Views:\n @staticmethod\n def noise(b, g): return sigma() * b\nview = Views.noise"
    ),
    "class method": (
        "class Views:\n @classmethod\n def noise(c, b, g): return sigma() * b\nview = Views.noise"
    ),
    "property": (
        "class View:\n"
        " @property\n"
        " def scale(self): return sigma()\n"
        " def __call__(self, b, g): return self.scale * b\n"
        "view = View()"
    ),
    "cached property": (
        "class View:\n"
        " @functools.cached_property\n"
        " def scale(self): return sigma()\n"
        " def __call__(self, b, g): return self.scale * b\n"
        "view = View()"
    ),
    "descriptor": (
        "class Scale:\n"
        " def __set_name__(self, owner, name): self.name = name\n"
        " def __get__(self, view, kind): return sigma()\n"
        "class View:\n"
        " scale = Scale()\n"
        " def __call__(self, b, g): return self.scale * b\n"
        "view = View()"
    ),
    "base class": (
        "class Base:\n"
        " def helper(self): return sigma()\n"
        "class View(Base):\n"
        " def __call__(self, b, g): return self.helper() * b\n"
        "view = View()"
    ),
    "metaclass": (
        "class Kind(type):\n"
        " def helper(cls): return sigma()\n"
        "class View(metaclass=Kind):\n"
        " def __call__(self, b, g): return type(self).helper() * b\n"
        "view = View()"
    ),
    "functions that call each other": (
        "def even(n): return sigma() if n == 0 else odd(n - 1)\n"
        "def odd(n): return even(n - 1)\n"
        "def view(b, g): return even(4) * b"
    ),
}
MODULES = ("abc", "contextlib", "dataclasses", "functools", "joblib", "threading", "torch")


def view_of(name, scale):
    """Return a function for views that reaches, in its own way, a helper which returns a scale."""
    source = "\n".join(f"import {module}" for module in MODULES) + "\nimport numpy as np\n"
    helper = f"def sigma():\n return {scale}\n"
    folder = Path(tempfile.mkdtemp())
    try:
        module = module_of(folder / "helper.py", helper)
        return module_of(folder / "views.py", source + helper + HELPERS[name], module=module).view
    finally:
        shutil.rmtree(folder)


def module_of(path, source, **variables):
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    vars(module).update(variables)
    with warnings.catch_warnings(), patch.object(sys, "dont_write_bytecode", True):
        # Or else a file that is edited within a second would be read as it was.
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", HELPERS)
def test_an_edited_helper_is_seen(name):
    keys = [key_of({"augment": view_of(name, scale)}, {}, ROWS, None) for scale in (0.1, 0.9, 0.1)]
    assert keys[0] != keys[1]
    assert keys[0] == keys[2]


def test_a_module_named_like_one_of_the_standard_library_is_the_users(tmp_path, monkeypatch):
    keys = set()
    for scale in (0.1, 0.9):
        source = f"def view(batch, generator): return {scale} * batch"
        module = module_of(tmp_path / "profile.py", source)
        monkeypatch.setitem(sys.modules, "profile", module)
        keys.add(fingerprint(module.view))
    assert len(keys) == 2


EDITS = {
    "argument": ("def view(b, g): return b", "def view(g, b): return b"),
    "keyword-only argument": ("def view(b, g): return b", "def view(b, *, g): return b"),
    "name of an argument": ("def view(b, generator): return b", "def view(b, g): return b"),
    "constant": ("def view(b, g): return b in {1, 2}", "def view(b, g): return b in {1, 3}"),
    "type of a constant": ("def view(b, g): return b + 1", "def view(b, g): return b + 1.0"),
    "order of a dict": ("view = {'a': 1, 'b': 2}.values", "view = {'b': 2, 'a': 1}.values"),
    "shape of an array": ("view = np.zeros((2, 3)).sum", "view = np.zeros((3, 2)).sum"),
    "mask of an array": (
        "view = np.ma.array([1, 2], mask=[0, 1]).sum",
        "view = np.ma.array([1, 2], mask=[1, 0]).sum",
    ),
    "handled errors": (
        "def view(b, g):\n try:\n  b()\n except ValueError:\n  pass\n  g()",
        "def view(b, g):\n try:\n  b()\n except ValueError:\n  pass\n g()",
    ),
    "class attribute": ("class view:\n scale = 1", "class view:\n scale = 2"),
    "bit of a tensor": (
        "view = torch.tensor([1.0], dtype=torch.bfloat16).add",
        "view = torch.tensor([1.0078125], dtype=torch.bfloat16).add",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_seen(name, tmp_path):
    source = "import numpy as np\nimport torch\n"
    first, second = (module_of(tmp_path / "views.py", source + edit).view for edit in EDITS[name])
    assert fingerprint(first) != fingerprint(second)


def test_a_comment_changes_no_fingerprint(tmp_path):
    source = "def view(b, g):\n return 2 * b"
    comments = "# first\n\n" + source.replace("\n", "  # second\n")
    plain, commented = (module_of(tmp_path / "views.py", code).view for code in (source, comments))
    assert fingerprint(plain) == fingerprint(commented)


EQUAL = {
    "shared or not": lambda: (shared := [1, (2, 3)], [shared, shared], [shared, [1, (2, 3)]])[1:],
    "strings": lambda: (["aa", "aa"], ["aa", "aaZ"[:2]]),
    "strides": lambda: (np.arange(8.0)[::2], np.arange(0.0, 8.0, 2)),
    "order of axes": lambda: (np.ones((3, 2)).T, np.ones((2, 3))),
    "an axis of length 1": lambda: (np.ones((1, 8))[:, :5], np.ones((1, 5))),
    "tensors": lambda: (torch.arange(6).reshape(2, 3).T, torch.arange(6).reshape(2, 3).T.clone()),
    "data types": lambda: (np.dtype("f4"), pickle.loads(pickle.dumps(np.dtype("f4")))),
    "sets": lambda: ({"a", "b", 1}, {1, "b", "a"}),
    "clones": lambda: (dim(augment=scaled), clone(dim(augment=scaled))),
    "pickled": lambda: ([partial(scaled, 2)], pickle.loads(pickle.dumps([partial(scaled, 2)]))),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equal_values_have_equal_fingerprints(name):
    first, second = EQUAL[name]()
    assert fingerprint(first) == fingerprint(second)


def test_a_memory_map_is_an_array(tmp_path):
    np.save(tmp_path / "array.npy", ROWS)
    assert fingerprint(np.load(tmp_path / "array.npy", mmap_mode="r")) == fingerprint(ROWS)


def test_values_that_hold_themselves_have_fingerprints():
    class Recursive:
        pass

    Recursive.itself = Recursive
    assert fingerprint(Recursive) == fingerprint(Recursive)
    instance, numbers, mapping = Recursive(), [1], {}
    instance.itself, mapping["itself"] = instance, mapping
    numbers.append(numbers)
    for value in (instance, numbers, mapping):
        assert fingerprint(value) == fingerprint(value)
    assert len({fingerprint(value) for value in (instance, numbers, mapping)}) == 3


def test_a_class_keeps_its_fingerprint_after_an_instance_was_pickled():
    before = fingerprint(FixedSeed)
    FixedSeed(0).__reduce_ex__(2)
    assert fingerprint(FixedSeed) == before


def test_what_cannot_be_pickled_has_no_fingerprint():
    lock = threading.Lock()
    with pytest.raises(TypeError, match="cannot pickle"):
        fingerprint(lambda batch, generator: lock)
