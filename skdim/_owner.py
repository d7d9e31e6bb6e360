"""Estimators that have a transformer of their own: its fit, their files, their contract."""

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import validate_parameter_constraints

from skdim._files.safe import errors_of_file
from skdim._model.migrations import stamp, upgrade_pickle
from skdim._model.persistence import Owner, write_transformer
from skdim._names import check_names, default_parameters
from skdim.exceptions import IneffectiveParameterWarning, warn
from skdim.transformer import DIMTransformer, load_transformer


class TransformerOwner(BaseEstimator):
    """What `DIMClassifier` and `DIMOutlierDetector` share.

    A subclass has the parameter ``transformer``, sets ``transformer_`` in ``fit``, and names its
    kind in `skdim._files.safe.READERS`.
    """

    _kind: ClassVar[str]

    def _fitted_transformer(self, X, groups, random: np.random.RandomState) -> DIMTransformer:
        """Return a fitted transformer that may be changed: a copy, or a newly fitted clone."""
        transformer = DIMTransformer() if self.transformer is None else self.transformer
        if isinstance(transformer, FrozenEstimator):
            transformer = transformer.estimator
        if not isinstance(transformer, DIMTransformer):
            raise TypeError(
                "The 'transformer' parameter must be a DIMTransformer, or a FrozenEstimator of "
                f"one. Got {type(transformer).__name__}."
            )
        if transformer.__sklearn_is_fitted__():
            if groups is not None:
                warn(
                    "The 'groups' have no effect with a fitted 'transformer': they are for its "
                    "training.",
                    IneffectiveParameterWarning,
                )
            return copy.deepcopy(transformer)
        transformer = clone(transformer)
        if transformer.random_state is None:
            transformer.set_params(random_state=int(random.randint(2**31 - 1)))
        return transformer.fit(X, groups=groups)

    # ------------------------------------------------------------ files

    def _write(self, path, learned: Mapping[str, Any]) -> None:
        """Write the parameters, what was learned, and the transformer."""
        params = self.get_params(deep=False)
        del params["transformer"]
        own = self.transformer_
        write_transformer(
            path,
            own.get_params(deep=False),
            vars(own),
            own.model_,
            Owner(self._kind, params, learned),
        )

    @classmethod
    def _read(
        cls, path, custom_objects: Mapping[str, Any]
    ) -> tuple[DIMTransformer, dict[str, Any], dict[str, Any]]:
        """Read a transformer, the checked parameters, and what was learned, unchecked."""
        params = {name: None for name in cls._get_param_names() if name != "transformer"}
        known = {"transformer", *params, *DIMTransformer().get_params()}
        check_names(custom_objects, known, cls.__name__)
        owner = Owner(cls._kind, params)
        transformer, own = load_transformer(DIMTransformer, path, custom_objects, owner)
        with errors_of_file(path):
            params = {name: own[name] for name in params}
            validate_parameter_constraints(cls._parameter_constraints, params, cls.__name__)
        learned = {name.removesuffix("_"): own[name] for name in own if name.endswith("_")}
        return transformer, params, learned

    # ------------------------------------------------------------ contract

    @property
    def n_features_in_(self) -> int:
        """``X.shape[1]`` in ``fit``."""
        return self.transformer_.n_features_in_

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the columns, if X had them."""
        return self.transformer_.feature_names_in_

    def __getstate__(self) -> dict:
        return stamp(super().__getstate__())

    def __setstate__(self, state: dict) -> None:
        state = upgrade_pickle(self._kind, state, self._get_param_names())
        # A class that inherits from this one may have got parameters of its own.
        super().__setstate__({**default_parameters(type(self)), **state})

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "transformer_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = getattr(self.transformer, "allow_nan", False)
        return tags
