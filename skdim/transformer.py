"""DIMTransformer: Deep InfoMax behind the contract of scikit-learn."""

import copy
import logging
import math
from collections.abc import Iterator
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from skdim.augmentation import DEFAULT_AUGMENTATIONS
from skdim.critics import CRITICS
from skdim.devices import PRECISIONS, choose_device, choose_precision
from skdim.encoders import DEFAULT_ENCODERS, ENCODERS, encode
from skdim.mutual_information import ESTIMATORS
from skdim.net import (
    DIMNet,
    EpochLog,
    ProgressBar,
    StopOnDivergence,
    count_batches,
    seeded,
)
from skdim.objective import DIMObjective
from skdim.optimization import OPTIMIZERS, SCHEDULES
from skdim.pickling import refer
from skdim.priors import PRIORS, Prior
from skdim.registry import lookup
from skdim.validation import (
    channel_statistics,
    read_groups,
    read_samples,
    standardizer,
    to_tensor,
)

logger = logging.getLogger("skdim")

OUTPUTS = ("code", "hidden", "local")

PAPER_WEIGHTS: dict[str, dict[str, float]] = {
    "global": {"global_weight": 1.0, "local_weight": 0.0, "prior_weight": 1.0},
    "local": {"global_weight": 0.0, "local_weight": 1.0, "prior_weight": 0.1},
    # The paper gives no weight of the prior for this one.
    "local+global": {"global_weight": 0.5, "local_weight": 0.1, "prior_weight": 0.1},
}

PAPER_SETTINGS = {
    "encoder": "paper32",
    "critic": "separable_published",
    "critic_width": 2048,
    "prior": "uniform",
    "gradient_penalty": 1.0,
    "augment": None,
    "max_epochs": 1000,
    "batch_size": 64,
    "optimizer": "adam",
    "optimizer_params": {"betas": (0.5, 0.999)},
    "learning_rate": 1e-4,
    "gradient_clip_norm": None,
    "lr_schedule": "constant",
    "precision": "float32",
}


class DIMTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Features learned without labels, by Deep InfoMax.

    ``fit`` trains an encoder whose code of a sample tells the sample's own local features from
    those of other samples; ``transform`` returns the code. Images and table rows are understood
    as they come, signals and volumes by their ``channel_axis``; training needs no labels and
    ignores ``y``.

    Parameters
    ----------
    n_components : int or None, default=64
        Length of the code. None leaves the last layer out: the hidden layer is the code.
    encoder : {"auto", "mlp", "signal", "conv", "resnet", "paper28", "paper32", "paper64", \
"paper_alexnet64", "paper_resnet19", "paper_resnet34"} or type, default="auto"
        The network. "auto" is "mlp" for rows, "signal" for signals, "conv" for images and
        volumes. A class is built as ``encoder(sample_shape, n_components, **encoder_params)``;
        `skdim.encoders.tap` makes one of an existing network. See `skdim.encoders`.
    encoder_params : dict or None, default=None
        Further keyword arguments of the encoder, for instance ``{"width": 64}``.
    sample_shape : tuple of int or None, default=None
        What the columns of a two-dimensional X are to be read as, for instance ``(8, 8)``.
    channel_axis : int, None or "auto", default="auto"
        The axis of X (counting samples as axis 0, after ``sample_shape``) that holds channels;
        None where there is none. What is left decides the modality: no axis for rows, one for
        signals, two for images, three for volumes. "auto" reads two dimensions as rows, three as
        grey images, and finds the channels of four (images) and five (volumes) by their number.
    output : {"code", "hidden", "local"}, default="code"
        What ``transform`` returns; may be changed after ``fit``.
    global_weight, local_weight, prior_weight : float, default=0.0, 1.0, 0.0
        Weights of the global bound, the local bound and the prior (alpha, beta and gamma of the
        paper). A term of weight 0 costs nothing; one weight at least must be positive.
    mi_estimator : {"jsd", "infonce", "dv", "nwj", "rkl", "hellinger", "chi2"} or callable, \
default="infonce"
        The bound that is raised; a callable maps scores ``(joint, marginal)`` to it. See
        `skdim.mutual_information`.
    critic : {"separable", "separable_published", "concat"} or type, default="separable"
        What scores a code against a local vector; see `skdim.critics`.
    critic_width : int, default=128
        Length of the critic's embeddings, or units of its hidden layers.
    n_locations : int or None, default=None
        Locations of each local map that a step draws at random, anew for every sample, for the
        local term; None takes all.
    prior : {"uniform", "normal", "sphere"} or callable, default="uniform"
        The distribution that the code, squashed into its range, is asked to follow; a callable
        draws ``(shape, generator)`` and takes codes as they are. See `skdim.priors`.
    gradient_penalty : float, default=0.0
        Weight of the zero-centred gradient penalty on the prior's discriminator.
    augment : "auto", None or callable, default="auto"
        Two random views of each sample are compared, code of one with locals of the other.
        "auto" moves grey images and volumes, crops, mirrors and recolours colour images, cuts,
        warps and scales signals, and swaps cells of rows; None compares each sample with itself
        (the paper); a callable maps ``(batch, generator)`` to a batch. See `skdim.augmentation`.
    max_epochs : int or "auto", default="auto"
        Passes over X. "auto" shows the encoder about 30,000 samples plus three passes.
    batch_size : int, default=128
        Largest number of samples in a step, at least 2; each serves as a negative for the others.
    optimizer : {"adamw", "adam", "sgd"} or callable, default="adamw"
    optimizer_params : dict or None, default=None
        Further keyword arguments of the optimiser, for instance ``{"weight_decay": 0.01}``.
    learning_rate : float, default=2e-3
        Highest learning rate of encoder and critics.
    prior_learning_rate : float or None, default=None
        Highest learning rate of the prior's discriminator; None takes ``learning_rate``.
    gradient_clip_norm : float or None, default=10.0
        Longer gradients of encoder and critics are shortened to this norm. Estimators with an
        exponential ("nwj", "rkl", "hellinger") hardly train without.
    lr_schedule : {"warmup_cosine", "constant"} or callable, default="warmup_cosine"
        Factor on the learning rate; a callable gets the finished part of training, 0 to 1.
    device : str, default="auto"
        "auto" is CUDA where there is a GPU, else the CPU.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of training; ``transform`` is float32 always. "auto" is bfloat16 for convolutions where
        the processor has instructions for it.
    transform_batch_size : int or None, default=None
        Samples encoded at once by ``transform``. None is 64 on a CPU and 1024 elsewhere.
    random_state : int, RandomState or None, default=None
        Seeds weights, batches, views and prior. Global generators of torch are left as they were.
    verbose : int, default=0
        1 shows a progress bar. Every epoch is logged to the logger ``"skdim"`` regardless.

    Attributes
    ----------
    encoder_ : nn.Module
        The trained encoder, in evaluation mode, on ``device_``.
    sample_shape_ : tuple of int
        Shape of a sample, channels first.
    mean_, scale_ : ndarray of shape (n_channels,)
        Statistics of X by which samples are standardised, per channel or per column.
    n_iter_ : int
        Epochs trained.
    history_ : list of dict
        One an epoch: ``loss``, the bounds ``global`` and ``local`` (to be raised), ``prior`` and
        ``discriminator`` (to be lowered), ``learning_rate``, ``seconds``,
        ``samples_per_second``.
    device_ : torch.device
    precision_ : str
    n_features_in_ : int
        ``X.shape[1]``.
    feature_names_in_ : ndarray of str
        Names of the columns, where X had them.

    References
    ----------
    Hjelm et al., "Learning deep representations by mutual information estimation and
    maximization", ICLR 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skdim import DIMTransformer
    >>> digits = load_digits()
    >>> pipeline = make_pipeline(
    ...     DIMTransformer(max_epochs=2, random_state=0), LogisticRegression(max_iter=1000)
    ... )
    >>> pipeline.fit(digits.images, digits.target).score(digits.images, digits.target) > 0.9
    True
    """

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "encoder": [str, callable],
        "encoder_params": [dict, None],
        "sample_shape": [tuple, list, None],
        "channel_axis": [Integral, None, StrOptions({"auto"})],
        "output": [StrOptions(set(OUTPUTS))],
        "global_weight": [Interval(Real, 0, None, closed="left")],
        "local_weight": [Interval(Real, 0, None, closed="left")],
        "prior_weight": [Interval(Real, 0, None, closed="left")],
        "mi_estimator": [str, callable],
        "critic": [str, callable],
        "critic_width": [Interval(Integral, 1, None, closed="left")],
        "n_locations": [Interval(Integral, 1, None, closed="left"), None],
        "prior": [str, callable, Prior],
        "gradient_penalty": [Interval(Real, 0, None, closed="left")],
        "augment": [StrOptions({"auto"}), None, callable],
        "max_epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "optimizer": [str, callable],
        "optimizer_params": [dict, None],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "prior_learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "gradient_clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "lr_schedule": [str, callable],
        "device": [str, torch.device],
        "precision": [StrOptions({"auto", *PRECISIONS})],
        "transform_batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components=64,
        *,
        encoder="auto",
        encoder_params=None,
        sample_shape=None,
        channel_axis="auto",
        output="code",
        global_weight=0.0,
        local_weight=1.0,
        prior_weight=0.0,
        mi_estimator="infonce",
        critic="separable",
        critic_width=128,
        n_locations=None,
        prior="uniform",
        gradient_penalty=0.0,
        augment="auto",
        max_epochs="auto",
        batch_size=128,
        optimizer="adamw",
        optimizer_params=None,
        learning_rate=2e-3,
        prior_learning_rate=None,
        gradient_clip_norm=10.0,
        lr_schedule="warmup_cosine",
        device="auto",
        precision="auto",
        transform_batch_size=None,
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.encoder = encoder
        self.encoder_params = encoder_params
        self.sample_shape = sample_shape
        self.channel_axis = channel_axis
        self.output = output
        self.global_weight = global_weight
        self.local_weight = local_weight
        self.prior_weight = prior_weight
        self.mi_estimator = mi_estimator
        self.critic = critic
        self.critic_width = critic_width
        self.n_locations = n_locations
        self.prior = prior
        self.gradient_penalty = gradient_penalty
        self.augment = augment
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.optimizer_params = optimizer_params
        self.learning_rate = learning_rate
        self.prior_learning_rate = prior_learning_rate
        self.gradient_clip_norm = gradient_clip_norm
        self.lr_schedule = lr_schedule
        self.device = device
        self.precision = precision
        self.transform_batch_size = transform_batch_size
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    def paper(cls, variant="local", mi_estimator="jsd", **params):
        """A transformer with the settings of the paper's experiments, all visible in its repr.

        One view, the published critic of width 2048, batches of 64, 1000 epochs of Adam: hours on
        a GPU. The encoder is that for CIFAR-10; name another for images of another size.

        Parameters
        ----------
        variant : {"local", "global", "local+global"}, default="local"
            DIM(L), DIM(G) or DIM(L+G).
        mi_estimator : str or callable, default="jsd"
        **params
            Any parameter of the constructor, in place of the paper's value.

        Returns
        -------
        transformer : DIMTransformer

        Examples
        --------
        >>> from skdim import DIMTransformer
        >>> dim = DIMTransformer.paper("local", "infonce", max_epochs=20)
        >>> dim.prior_weight, dim.batch_size, dim.max_epochs
        (0.1, 64, 20)
        """
        weights = lookup(variant, PAPER_WEIGHTS, "variant", or_callable=False)
        settings = copy.deepcopy(PAPER_SETTINGS)  # each instance has dicts of its own
        return cls(**{**settings, **weights, "mi_estimator": mi_estimator, **params})

    # ------------------------------------------------------------------ fit

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, groups=None):
        """Train the encoder on X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_columns), (n_samples, height, width) or \
(n_samples, ...)
            Rows, or samples of one to three axes beside their channels, of any numeric type; at
            least two samples. See ``channel_axis``.
        y : None
            Ignored.
        groups : array-like of shape (n_samples,), default=None
            Samples of one group (a patient, a speaker) are never each other's negatives. Reaches
            a step of a Pipeline by metadata routing: ``set_fit_request(groups=True)``.

        Returns
        -------
        self : DIMTransformer

        Raises
        ------
        ValueError
            If a parameter, X or groups is unfit; the message names it.
        FloatingPointError
            If the loss diverges.
        """
        # Fit a draft and then become it: a fit that fails leaves the estimator as it was.
        draft = copy.copy(self)
        samples = draft._check(X, reset=True)
        draft._train(samples, read_groups(groups, len(samples)))
        self.__dict__ = draft.__dict__
        return self

    def _train(self, samples: np.ndarray, groups: np.ndarray | None) -> None:
        if not (self.global_weight or self.local_weight or self.prior_weight):
            raise ValueError(
                "One of the 'global_weight', 'local_weight' and 'prior_weight' parameters must "
                "be positive. Got 0 for all three."
            )
        if groups is not None:
            self._check_strangers(groups)
        self.sample_shape_ = samples.shape[1:]
        n_axes = len(self.sample_shape_)
        self.device_ = choose_device(self.device)
        self.precision_ = choose_precision(self.precision, self.device_, n_axes)
        self.mean_, self.scale_ = channel_statistics(samples)
        params = dict(self.encoder_params or {})
        self._encoder_recipe = (self._encoder_class(), self.n_components, params)
        X = to_tensor(samples).to(self.device_)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with seeded(seed, self.device_) as generator:
            encoder = self._build_encoder()
            net = DIMNet(
                encoder,
                self._build_objective(encoder),
                standardize=standardizer(self.mean_, self.scale_, X),
                augment=self._augmentation(),
                generator=generator,
                groups=None if groups is None else to_tensor(groups).to(self.device_),
                max_epochs=self._n_epochs(len(X)),
                batch_size=self.batch_size,
                optimizer=lookup(self.optimizer, OPTIMIZERS, "optimizer"),
                optimizer_params=self._optimizer_params(self.learning_rate),
                discriminator_optimizer_params=self._optimizer_params(
                    self.prior_learning_rate or self.learning_rate
                ),
                gradient_clip_norm=self.gradient_clip_norm,
                lr_schedule=lookup(self.lr_schedule, SCHEDULES, "lr_schedule"),
                precision=PRECISIONS[self.precision_],
                device=self.device_,
                callbacks=[
                    ("divergence", StopOnDivergence()),
                    ("log", EpochLog()),
                    *([("progress", ProgressBar())] if self.verbose else []),
                ],
            ).train(X)
        self.history_ = [
            {name: value for name, value in epoch.items() if name != "batches"}
            for epoch in net.history
        ]
        self.n_iter_ = len(self.history_)
        self.encoder_ = encoder.eval()
        self._output_statistics = self._measure_outputs(samples)

    def _check_strangers(self, groups: np.ndarray) -> None:
        """Every batch must hold two groups; the largest, number 0, is the one that may fill it."""
        n_samples = len(groups)
        n_outside = int(np.count_nonzero(groups))
        n_batches = count_batches(n_samples, self.batch_size)
        if n_outside == 0:
            raise ValueError(
                "The 'groups' must hold at least two groups: samples of one group are never each "
                f"other's negatives. Got one group of {n_samples} samples."
            )
        if n_outside < n_batches:
            raise ValueError(
                f"The largest of the 'groups' holds all but {n_outside} of {n_samples} samples, "
                f"too few to give each of {n_batches} batches a negative: set the 'batch_size' "
                f"parameter to at least {-(-n_samples // n_outside)}. Got {self.batch_size}."
            )

    def _encoder_class(self) -> type[nn.Module]:
        name = self.encoder
        n_axes = len(self.sample_shape_)
        if name == "auto":
            if n_axes not in DEFAULT_ENCODERS:
                raise ValueError(
                    f"There is no default encoder for samples of shape {self.sample_shape_} "
                    "(channels first): pass an encoder class as the 'encoder' parameter."
                )
            name = DEFAULT_ENCODERS[n_axes]
        if isinstance(name, nn.Module):
            raise TypeError(
                "The 'encoder' parameter must be a class, so that every fit starts afresh. Got "
                f"an instance; pass encoder={type(name).__name__} and its arguments as "
                "'encoder_params'."
            )
        return lookup(name, ENCODERS, "encoder")

    def _build_encoder(self) -> nn.Module:
        encoder_class, n_components, encoder_params = self._encoder_recipe
        encoder = encoder_class(self.sample_shape_, n_components, **encoder_params)
        if len(self.sample_shape_) == 3:
            encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # in docs
        return encoder.to(self.device_)

    def _build_objective(self, encoder: nn.Module) -> DIMObjective:
        with torch.no_grad():
            pair = torch.zeros(2, *self.sample_shape_, device=self.device_)
            code, _, local_maps = encode(encoder.eval(), pair)
        return DIMObjective(
            n_code=code.shape[1],
            local_shapes=[(m.shape[1], m.shape[2]) for m in local_maps],
            global_weight=self.global_weight,
            local_weight=self.local_weight,
            prior_weight=self.prior_weight,
            mi_estimator=lookup(self.mi_estimator, ESTIMATORS, "mi_estimator"),
            critic=lookup(self.critic, CRITICS, "critic"),
            critic_width=self.critic_width,
            n_locations=self.n_locations,
            prior=self._prior(),
            gradient_penalty=self.gradient_penalty,
        ).to(self.device_)

    def _prior(self) -> Prior:
        if isinstance(self.prior, Prior):
            return self.prior
        chosen = lookup(self.prior, PRIORS, "prior")
        return chosen if isinstance(chosen, Prior) else Prior(chosen)

    def _augmentation(self):
        n_axes = len(self.sample_shape_)
        if self.augment != "auto":
            return self.augment
        if n_axes not in DEFAULT_AUGMENTATIONS:
            raise ValueError(
                f"There are no default views of samples of shape {self.sample_shape_} (channels "
                "first): set the 'augment' parameter to None or to a function."
            )
        return DEFAULT_AUGMENTATIONS[n_axes]

    def _n_epochs(self, n_samples: int) -> int:
        if self.max_epochs == "auto":
            return 3 + math.ceil(30_000 / n_samples)
        return self.max_epochs

    def _optimizer_params(self, learning_rate: float) -> dict:
        return {"lr": learning_rate, **(self.optimizer_params or {})}

    def _measure_outputs(self, samples: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Mean and standard deviation of every output over the training samples."""
        sums = dict.fromkeys(OUTPUTS, np.zeros(1))
        squares = dict.fromkeys(OUTPUTS, np.zeros(1))
        for tile in self._encode(samples):
            for output, features in tile.items():
                sums[output] = sums[output] + features.sum(0, dtype=np.float64)
                squares[output] = squares[output] + np.square(features, dtype=np.float64).sum(0)
        statistics = {}
        for output in OUTPUTS:
            mean = sums[output] / len(samples)
            variance = squares[output] / len(samples) - mean**2
            is_constant = variance <= 1e-10 * np.maximum(mean**2, 1)
            scale = np.sqrt(np.where(is_constant, 1, variance))
            statistics[output] = mean.astype(np.float32), scale.astype(np.float32)
        return statistics

    # ------------------------------------------------------------ transform

    def transform(self, X):
        """Return the features of X.

        Parameters
        ----------
        X : array-like of the kind and sample shape that ``fit`` saw

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out), float32
            Each has mean 0 and standard deviation 1 over the training samples.
        """
        check_is_fitted(self)
        samples = self._check(X, reset=False)
        features = np.concatenate([tile[self.output] for tile in self._encode(samples)])
        mean, scale = self._output_statistics[self.output]
        return (features - mean) / scale

    def _encode(self, samples: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """Encode in tiles of one shape: then a sample's features do not depend on its company."""
        size = self.transform_batch_size or (64 if self.device_.type == "cpu" else 1024)
        for start in range(0, len(samples), size):
            rows = to_tensor(samples[start : start + size]).to(self.device_)
            tile = rows.new_zeros(size, *rows.shape[1:])
            tile[: len(rows)] = rows
            with torch.inference_mode():
                code, hidden, local_maps = self.encoder_(
                    standardizer(self.mean_, self.scale_, tile)(tile)
                )
            outputs = {"code": code, "hidden": hidden, "local": local_maps[-1].flatten(1)}
            yield {name: x[: len(rows)].float().cpu().numpy() for name, x in outputs.items()}

    # ------------------------------------------------------------- contract

    def _check(self, X, *, reset: bool) -> np.ndarray:
        """Validate X and return samples of shape (n, *sample_shape_)."""
        X = validate_data(
            self,
            X,
            dtype=[np.float32, np.uint8, np.float64],
            allow_nd=True,
            reset=reset,
            ensure_min_samples=2 if reset else 1,
        )
        samples = read_samples(X, self.sample_shape, self.channel_axis)
        if not reset and samples.shape[1:] != self.sample_shape_:
            raise ValueError(
                f"X must hold samples of shape {self.sample_shape_} (channels first), as in fit. "
                f"Got samples of shape {samples.shape[1:]}."
            )
        return samples

    @property
    def _n_features_out(self) -> int:
        return len(self._output_statistics[self.output][0])

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "encoder_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def __copy__(self):
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __deepcopy__(self, memo):
        twin = copy.copy(self)
        twin.__dict__ = copy.deepcopy(self.__dict__, memo)
        return twin

    def __getstate__(self) -> dict:
        """Plain Python and numpy only: what was fitted on a GPU loads anywhere."""
        state = dict(super().__getstate__())
        for parameter in self._get_param_names():
            state[parameter] = refer(state[parameter], parameter)
        if "encoder_" in state:
            weights = state.pop("encoder_").state_dict()
            state["_encoder_weights"] = {k: v.cpu().numpy().copy() for k, v in weights.items()}
            encoder_class, *arguments = state["_encoder_recipe"]
            state["_encoder_recipe"] = (refer(encoder_class, "encoder"), *arguments)
            state["device_"] = str(state["device_"])
        return state

    def __setstate__(self, state: dict) -> None:
        weights = state.pop("_encoder_weights", None)
        super().__setstate__(state)
        if weights is not None:
            self.device_ = _device_for_loading(self.device)
            with torch.random.fork_rng(devices=[]):
                self.encoder_ = self._build_encoder()
            tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
            self.encoder_.load_state_dict(tensors)
            self.encoder_.eval()


def _device_for_loading(device: str | torch.device) -> torch.device:
    try:
        return choose_device(device)
    except ValueError:
        logger.warning("Device %s is not present: the transformer is loaded on the CPU.", device)
        return torch.device("cpu")
