"""DIMTransformer: Deep InfoMax behind the contract of scikit-learn."""

import copy
import logging
from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import check_is_fitted, validate_data

from skdim._files.safe import errors_of_file
from skdim._model.fitted import FittedModel
from skdim._model.migrations import stamp, upgrade_pickle
from skdim._model.persistence import (
    Owner,
    read_transformer,
    select_sklearn_state,
    write_transformer,
)
from skdim._model.readout import OUTPUTS
from skdim._model.schema import check_usable
from skdim._names import check_names, default_parameters, known_names_only
from skdim._paper import paper_settings
from skdim._runtime.devices import PRECISIONS, choose_device, memory_advice
from skdim._runtime.interrupts import InterruptGuard
from skdim._runtime.surroundings import torch_defaults
from skdim._training.callbacks import ScikitLearnCallbacks
from skdim._training.checkpoint import Checkpoint
from skdim._training.fit import advise_on_fit, fit_model
from skdim._training.plan import TRAINED_WITH, make_plan
from skdim.exceptions import IneffectiveParameterWarning, warn
from skdim.onnx_export import write_graph
from skdim.priors import Prior
from skdim.sources.checks import as_samples, warn_of_another_reading
from skdim.sources.groups import number_groups
from skdim.sources.layout import Layout, find_layout
from skdim.sources.oscillation import has_spectrogram
from skdim.sources.outputs import is_path, open_output, transform_lazily
from skdim.sources.readers import is_dask
from skdim.sources.standardization import check_not_constant
from skdim.sources.stored import Samples, StoredSamples

try:  # scikit-learn 1.9
    from sklearn.callback import CallbackSupportMixin
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Older versions have no callbacks to support."""

        def _init_callback_context(self, **kwargs):
            return None


logger = logging.getLogger("skdim")


# Legal values of the parameters, as scikit-learn writes them.
PARAMETER_CONSTRAINTS: dict = {
    "n_components": [Interval(Integral, 1, None, closed="left"), None],
    "encoder": [str, callable],
    "encoder_params": [dict, None],
    "output": [StrOptions(set(OUTPUTS))],
    "flip_averaging": ["boolean", StrOptions({"auto"})],
    "neighbor_averaging": ["boolean", StrOptions({"auto"})],
    "sample_shape": [tuple, list, None],
    "channel_axis": [Integral, None, StrOptions({"auto"})],
    "column_groups": [list, tuple, callable, None],
    "allow_nan": ["boolean"],
    "global_weight": [Interval(Real, 0, None, closed="left")],
    "local_weight": [Interval(Real, 0, None, closed="left")],
    "prior_weight": [Interval(Real, 0, None, closed="left")],
    "mi_estimator": [str, callable],
    "critic": [str, callable],
    "critic_width": [Interval(Integral, 1, None, closed="left")],
    "n_locations": [Interval(Integral, 1, None, closed="left"), None],
    "prior": [str, callable, Prior],
    "coordinate_weight": [Interval(Real, 0, None, closed="left")],
    "coordinates": [str],
    "augment": [StrOptions({"auto"}), None, callable],
    "n_views": [Interval(Integral, 1, None, closed="left")],
    "n_crops": [Interval(Integral, 0, None, closed="left")],
    "occlusion": ["boolean"],
    "max_epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "max_time": [Interval(Real, 0, None, closed="neither"), None],
    "batch_size": [Interval(Integral, 2, None, closed="left")],
    "optimizer": [str, callable],
    "optimizer_params": [dict, None],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "gradient_clip_norm": [Interval(Real, 0, None, closed="neither"), None],
    "lr_schedule": [str, callable, None],
    "weight_averaging": [Interval(Real, 0, 1, closed="both")],
    "warm_start": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "checkpoint": [str, PathLike, Checkpoint, None],
    "distributed": ["boolean"],
    "callbacks": [list, tuple, None],
    "device": [str, torch.device],
    "data_on_device": ["boolean", StrOptions({"auto"})],
    "precision": [StrOptions({"auto", *PRECISIONS})],
    "compile": ["boolean"],
    "transform_batch_size": [Interval(Integral, 1, None, closed="left"), None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}

# Parameters that are used after ``fit``, when they may have been changed.
USED_AFTER_FIT = ("output", "transform_batch_size", "sample_shape", "channel_axis", "allow_nan")


class Learned:
    """A fitted attribute that is read from ``model_``: ``history_`` is its ``history``."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, transformer: BaseEstimator | None, owner: type | None = None) -> Any:
        if transformer is None:
            return self
        value = getattr(vars(transformer).get("model_"), self.name.removesuffix("_"), None)
        if value is None:
            kind = type(transformer).__name__
            raise AttributeError(f"{kind!r} object has no attribute {self.name!r}")
        return value


class DIMTransformer(
    ClassNamePrefixFeaturesOutMixin, CallbackSupportMixin, TransformerMixin, BaseEstimator
):
    """Features learned without labels, by Deep InfoMax.

    ``fit`` trains an encoder and ignores ``y``. A critic learns to recognise, from the code of a
    sample, the sample's own local features among those of other samples. ``transform`` returns
    ``n_components`` features for each sample. Images and tables are recognised by the shape of X;
    for signals and volumes, set ``channel_axis``.

    Most users need six parameters: ``n_components`` and ``output`` (how many features, and which),
    ``channel_axis`` (what X holds), ``augment`` (random changes that keep the meaning of a sample),
    ``max_epochs`` (how long to train) and ``random_state`` (for results that repeat).

    Parameters
    ----------
    Model

    n_components : int or None, default=64
        Number of features, and length of the code. With None, the hidden layer is the code.
    encoder : {"auto", "mlp", "signal", "spectrogram", "conv", "resnet", "paper28", "paper32", \
"paper64", "paper_alexnet64", "paper_resnet19", "paper_resnet34", "paper_crops_alexnet64", \
"paper_crops_resnet19", "paper_globals_alexnet64", "paper_globals_resnet19"} or type, default="auto"
        The network. "auto" is "mlp" for tables, "conv" for images and volumes, "spectrogram" for
        signals that are long and oscillate (at least 2048 points, and half of the energy at
        frequencies above one cycle in 64 points), and "signal" for other signals. A class is built
        as ``encoder(sample_shape, n_components, **encoder_params)``; `skdim.encoders.tap` makes one
        of an existing network. See `skdim.encoders`.
    encoder_params : dict or None, default=None
        Keyword arguments of the encoder, for instance ``{"width": 64}``.
    output : {"components", "hidden", "code", "local"}, default="components"
        What ``transform`` returns; may be changed after ``fit``. "hidden" is the layer before the
        code, which is wide and best for most classifiers, averages of the last map of images and
        volumes, and the encoder's fixed features, which are computed without training. Except for
        tables, directions in which two views of a sample differ are damped in all of them.
        "components" are the first ``n_components`` principal components of "hidden". They classify
        better than the code. Do not scale them again: small components matter less. "code" is what
        the objective is about; "local" is the last local map.
    flip_averaging : bool or "auto", default="auto"
        Whether ``transform`` averages code and hidden layer over a sample and its copy flipped left
        to right, which takes twice as long. For images and volumes. "auto" averages if default
        views are flipped, too: for images of three channels with ``augment="auto"``.
    neighbor_averaging : bool or "auto", default="auto"
        Whether "hidden" and "components" are moved towards the mean of similar samples of ``fit``,
        of which it remembers at most 8000. Samples that are alike become more alike, which helps
        most where few of them have labels. The nearer a sample, the more it weighs. A remembered
        sample is not averaged with itself. "auto" averages at least 200 samples, but not tables.

    Data

    sample_shape : tuple of int or None, default=None
        Shape of a sample in a two-dimensional X, for instance ``(8, 8)``.
    channel_axis : int, None or "auto", default="auto"
        The axis of X that holds channels; None if X has no such axis. Axis 0 is the samples. The
        axes that remain say what X holds: none for tables, one for signals, two for images, three
        for volumes. "auto" reads an X of two dimensions as a table, of three as grey images, of
        four as images with channels and of five as volumes with channels. It finds the axis of
        channels by its length. With ``sample_shape``, axes are counted after reshaping.
    column_groups : sequence of groups, callable or None, default=None
        For tables: columns that belong together, such as the one-hot code of one category, which
        skdim then treats as one column. A group is a list of columns, by number or by name, or a
        pattern for names: ``[[0, 1, 2], "colour_*"]``. ``*`` is any text, ``?`` one character and
        ``[ab]`` one of these. A callable gets the names of all columns, and returns such groups.
    allow_nan : bool, default=False
        Whether X may hold NaN. In a table, NaN marks a missing cell. Missing is then treated as one
        more value. In signals, NaN at the end makes signals of different lengths equally long. All
        channels of a signal must end at the same point. skdim ignores these NaN. A signal needs at
        least 4 points that are not NaN. Images and volumes must not hold NaN. An encoder of your
        own must have a parameter ``allow_nan``.

    Objective

    global_weight : float, default=0.0
        Weight of the global bound (alpha in the paper). A term of weight 0 costs nothing.
    local_weight : float, default=1.0
        Weight of the local bound (beta). At least one weight must be positive.
    prior_weight : float, default=0.0
        Weight of the prior (gamma) that codes are trained to follow.
    mi_estimator : {"jsd", "infonce", "dv", "nwj", "rkl", "hellinger", "chi2"} or callable, \
default="infonce"
        The bound that is maximised. A callable maps scores ``(joint, marginal)`` to it. See
        `skdim.mutual_information`.
    critic : {"auto", "separable", "cosine", "separable_published", "concat"} or type, \
default="auto"
        The network that scores a code against a local vector; see `skdim.critics`. "auto" is
        "cosine" for images, and "separable" for all else.
    critic_width : int, default=128
        Length of the critic's embeddings, or units of its hidden layers.
    n_locations : int or None, default=None
        Number of locations of a local map that each step uses for the local term. They are chosen
        at random. None uses all locations.
    prior : {"uniform", "normal", "sphere"}, callable or Prior, default="uniform"
        The distribution that codes are trained to follow. Codes are first mapped into its range. A
        callable is called with ``(shape, generator)`` and returns random numbers of that shape;
        codes are compared with them without a mapping. A `skdim.priors.Prior` also sets the
        gradient penalty and the learning rate of the discriminator.
    coordinate_weight : float, default=0.0
        Weight of coordinate prediction. In this task, a small network predicts where in the sample
        a local feature comes from. It sees the local feature and the code. All sides of the local
        map must be equally long, as in square images. Not for tables.
    coordinates : {"both", "absolute", "relative"}, default="both"
        What the small network of ``coordinate_weight`` predicts for a local feature: its position
        ("absolute"), its offset from another local feature ("relative"), or both. See
        `skdim.objective.coordinates`.

    Views

    augment : "auto", None or callable, default="auto"
        How to make random views of a sample. The code of one view is compared with the local
        features of the other. "auto" moves volumes and images smaller than 16 pixels; crops other
        grey images and changes their contrast; crops, flips and recolours colour images, at three
        quarters of their size if encoder and objective allow it; cuts, warps and scales signals,
        or cuts and filters them for the encoder "spectrogram"; adds noise to tables. None compares
        each sample with itself, as in the paper. A callable
        maps ``(batch, generator)`` to a batch. See `skdim.augmentation`.
    n_views : int, default=2
        Number of random views of each sample in a step. More views give more comparisons, and each
        view takes as long as the first. The code of each view is compared with the local features
        of all other views. With ``n_views=1``, a view is compared with itself.
    n_crops : int, default=0
        Number of additional small crops of each sample. Every side of a crop is half as long as
        that of the sample. The codes of the views are also compared with the local features of the
        crops. The number must be a multiple of 4 for images, 2 for signals and 8 for volumes,
        because so many crops fill one sample and are encoded together.
    occlusion : bool, default=False
        Whether a random box of each view is hidden before its code is computed. The code is then
        compared with local features of the complete view. Training takes about twice as long,
        because every view is encoded twice. Not for tables.

    Training

    max_epochs : int or "auto", default="auto"
        How often training goes through X. "auto" chooses by the size of X: three epochs, and as
        many more as it takes to show the encoder 30,000 samples. These are 60,000 for tables, and
        for images of at least 16 pixels. Tables are trained for at most 60 epochs, signals for at
        most 120.
    max_time : float or None, default=None
        Seconds after which training ends, unless ``max_epochs`` ended it earlier. The schedule
        follows whichever ends first. A fit that time ended cannot be repeated exactly.
    batch_size : int, default=128
        Largest number of samples in a step, at least 2; they are negatives of each other.
    optimizer : {"muon", "adamw", "adam", "sgd"} or callable, default="muon"
        "muon" is AdamW except for the filters of images and volumes; see
        `skdim.optimization.Muon`.
    optimizer_params : dict or None, default=None
        Keyword arguments of the optimiser, for instance ``{"weight_decay": 0.01}``.
    learning_rate : float, default=2e-3
        Highest learning rate of encoder and critics.
    gradient_clip_norm : float or None, default=10.0
        Largest norm of the gradient of encoder and critics. A longer gradient is scaled down to it.
        None scales nothing. The MI estimators "nwj", "rkl" and "hellinger" hardly train with None.
    lr_schedule : {"warmup_cosine", "constant"}, callable or None, default="warmup_cosine"
        Factor on the learning rate. A callable gets the finished part of training, 0 to 1. None
        leaves learning rates to ``callbacks``. ``partial_fit``, which has no end, does not use it.
    weight_averaging : float, default=0.0
        Over which last part of training the weights are averaged, from 0 to 1: 0.3 is the last
        three tenths. With 0, the last weights are used. It has no effect with early stopping, which
        uses the weights of the best epoch.
    warm_start : bool, default=False
        Whether ``fit`` starts from the weights and statistics of the last fit.

    Early stopping

    early_stopping : bool, default=False
        Whether to hold out a part of X, `score` it after every epoch, stop when the score no longer
        rises, and take the weights of the best epoch.
    validation_fraction : float, default=0.1
        Part of the samples, or of the groups, that early stopping holds out.
    n_iter_no_change : int, default=10
        Number of consecutive epochs without a gain after which early stopping stops.
    tol : float, default=1e-4
        Largest rise of the score that does not count as a gain.

    Runtime

    checkpoint : path, Checkpoint or None, default=None
        A folder to which ``fit`` writes its state. The same line run again resumes a fit that was
        killed, and does not repeat a fit that was complete. A `skdim.Checkpoint` also says how
        often the state is written, and whether to resume. Not for ``partial_fit``.
    distributed : bool, default=False
        Whether several processes train one encoder together. Start them with ``torchrun``, or
        connect them with ``torch.distributed``. All of them must call ``fit`` with the same X. Each
        trains on its part of every batch. All end with the same encoder, which is the one that a
        single process would have trained.
    callbacks : list of skorch.callbacks.Callback or of (str, Callback), or None, default=None
        Callbacks of skorch, for instance for logging. Each fit uses copies of them.
    device : str or torch.device, default="auto"
        "auto" is CUDA if there is a GPU, else the CPU.
    data_on_device : bool or "auto", default="auto"
        When X is copied to the GPU. True copies all of X before training, which is faster. False
        copies one batch at a time, which needs less memory. The results are the same. "auto" is
        True if X is in memory and fills less than half of the free memory of the GPU.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of training; ``transform`` always computes in float32. "auto" is bfloat16 for
        signals, images and volumes if the processor has instructions for it.
    compile : bool, default=False
        Whether ``torch.compile`` compiles the encoder, which takes up to minutes and needs a
        compiler.
    transform_batch_size : int or None, default=None
        Number of samples that ``transform`` encodes at once. It is at most 65,536, and lower if the
        largest layer would take more than 128 MiB. None means 1024 on a GPU. On a CPU, it means at
        most 1024: fewer if samples or layers are large.
    random_state : int, RandomState or None, default=None
        Seeds weights, batches, views and prior. Torch's global generators are restored.
    verbose : int, default=0
        1 shows a progress bar. Every epoch is logged to the logger ``"skdim"`` in any case.

    Attributes
    ----------
    model_ : FittedModel
        Everything that was learned, in one object; the attributes below are read from it.
    encoder_ : nn.Module
        The trained encoder, in evaluation mode, on ``device_``.
    sample_shape_ : tuple of int
        Shape of a sample, channels first.
    mean_, scale_ : ndarray of shape (n_channels,)
        Mean and scale of each channel or column of X, by which samples are standardised. The scale
        of a constant column is inf: features ignore this column, also in other samples. Mean and
        scale of a column without any value are NaN.
    n_iter_ : int
        Number of epochs trained.
    history_ : list of dict
        One dict for each epoch: ``loss``; the bounds ``global`` and ``local`` and the
        log-likelihood ``coordinates``, which are maximised; ``prior`` and ``discriminator``, which
        are minimised; ``learning_rate``, ``seconds``, ``samples_per_second``; and, with early
        stopping, ``validation_score``.
    best_epoch_ : int
        The epoch whose weights early stopping took.
    device_ : torch.device
    precision_ : str
        Precision of training.
    n_features_in_ : int
        ``X.shape[1]``.
    feature_names_in_ : ndarray of str
        Names of the columns, if X had names.

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
    >>> X, y = load_digits().images, load_digits().target
    >>> dim = DIMTransformer(max_epochs=2, random_state=0)
    >>> pipeline = make_pipeline(dim, LogisticRegression(max_iter=1000))
    >>> pipeline.fit(X, y).score(X, y) > 0.9
    True
    """

    encoder_ = Learned()
    sample_shape_ = Learned()
    mean_ = Learned()
    scale_ = Learned()
    n_iter_ = Learned()
    history_ = Learned()
    best_epoch_ = Learned()
    device_ = Learned()
    precision_ = Learned()

    _parameter_constraints = PARAMETER_CONSTRAINTS

    @known_names_only
    def __init__(  # noqa: PLR0915  # a line for each parameter
        self,
        n_components=64,
        *,
        encoder="auto",
        encoder_params=None,
        output="components",
        flip_averaging="auto",
        neighbor_averaging="auto",
        sample_shape=None,
        channel_axis="auto",
        column_groups=None,
        allow_nan=False,
        global_weight=0.0,
        local_weight=1.0,
        prior_weight=0.0,
        mi_estimator="infonce",
        critic="auto",
        critic_width=128,
        n_locations=None,
        prior="uniform",
        coordinate_weight=0.0,
        coordinates="both",
        augment="auto",
        n_views=2,
        n_crops=0,
        occlusion=False,
        max_epochs="auto",
        max_time=None,
        batch_size=128,
        optimizer="muon",
        optimizer_params=None,
        learning_rate=2e-3,
        gradient_clip_norm=10.0,
        lr_schedule="warmup_cosine",
        weight_averaging=0.0,
        warm_start=False,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        checkpoint=None,
        distributed=False,
        callbacks=None,
        device="auto",
        data_on_device="auto",
        precision="auto",
        compile=False,
        transform_batch_size=None,
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.encoder = encoder
        self.encoder_params = encoder_params
        self.output = output
        self.flip_averaging = flip_averaging
        self.neighbor_averaging = neighbor_averaging
        self.sample_shape = sample_shape
        self.channel_axis = channel_axis
        self.column_groups = column_groups
        self.allow_nan = allow_nan
        self.global_weight = global_weight
        self.local_weight = local_weight
        self.prior_weight = prior_weight
        self.mi_estimator = mi_estimator
        self.critic = critic
        self.critic_width = critic_width
        self.n_locations = n_locations
        self.prior = prior
        self.coordinate_weight = coordinate_weight
        self.coordinates = coordinates
        self.augment = augment
        self.n_views = n_views
        self.n_crops = n_crops
        self.occlusion = occlusion
        self.max_epochs = max_epochs
        self.max_time = max_time
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.optimizer_params = optimizer_params
        self.learning_rate = learning_rate
        self.gradient_clip_norm = gradient_clip_norm
        self.lr_schedule = lr_schedule
        self.weight_averaging = weight_averaging
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.checkpoint = checkpoint
        self.distributed = distributed
        self.callbacks = callbacks
        self.device = device
        self.data_on_device = data_on_device
        self.precision = precision
        self.compile = compile
        self.transform_batch_size = transform_batch_size
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    def paper(cls, variant="local", mi_estimator="jsd", **params):
        """A transformer with the settings of the paper's experiments, all visible in its repr.

        They are one view, the published critic of width 2048, batches of 64 and 1000 epochs of
        Adam, which take hours on a GPU. DIM(G) has its own critic: three layers of width 512 over
        the code and the map of the last convolution. The encoder is the one for CIFAR-10; name
        another for images of another size.

        Parameters
        ----------
        variant : {"local", "global", "local+global"}, default="local"
            DIM(L), DIM(G) or DIM(L+G).
        mi_estimator : str or callable, default="jsd"
        **params
            Any parameter of the constructor, instead of the paper's value. ``encoder_params`` are
            added to those of the paper.

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
        return cls(**paper_settings(variant, {"mi_estimator": mi_estimator, **params}))

    # ------------------------------------------------------------------ fit

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, groups=None):
        """Train the encoder on X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_columns), (n_samples, height, width) or \
(n_samples, ...)
            At least two samples of any numeric type: rows of a table, or samples of one to three
            axes in addition to channels. See ``channel_axis``. Data that is not in memory is read a
            batch at a time: see `skdim.sources`.
        y : None
            Ignored.
        groups : array-like of shape (n_samples,), default=None
            Samples of one group (a patient, a speaker) are never each other's negatives. To pass
            groups to a step of a Pipeline, use metadata routing: ``set_fit_request(groups=True)``.

        Returns
        -------
        self : DIMTransformer

        Raises
        ------
        ValueError
            If a parameter, X or groups is unfit; the message names it.
        FloatingPointError
            If the loss diverges.
        MemoryError
            If the device's memory is exhausted.

        Warns
        -----
        ConvergenceWarning
            If the loss was still falling at the end of ``max_epochs`` or ``max_time``.
        FewSamplesWarning, CollapseWarning
            If features are not expected to be better than PCA's, or the codes have collapsed.
        IneffectiveParameterWarning
            If a parameter was set that has no effect with the values of the others.

        Notes
        -----
        After a ``KeyboardInterrupt``, which is raised again, the transformer has the weights of the
        last complete epoch. If there was none, it is left as it was.
        """
        previous = self.model_ if self.warm_start and self.__sklearn_is_fitted__() else None
        return self._learn(X, y, groups, previous=previous, is_partial=False)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, groups=None):
        """Train for one epoch of X, starting from what was learned before.

        Means and scales are those of the first X. The optimiser and the random numbers continue,
        also after the transformer was saved and loaded. The learning rate is constant, unless
        ``callbacks`` set it and ``lr_schedule`` is None.

        Parameters that were changed since the last call take effect, or an error or warning names
        them. Another optimiser starts afresh. These are for ``fit`` alone: ``max_epochs``,
        ``max_time``, other values of ``lr_schedule``, ``weight_averaging``, ``warm_start``,
        ``checkpoint``, ``early_stopping`` and its parameters. ``random_state`` is for the first
        call.

        Parameters
        ----------
        X, y, groups
            As in ``fit``.

        Returns
        -------
        self : DIMTransformer
        """
        previous = self.model_ if self.__sklearn_is_fitted__() else None
        return self._learn(X, y, groups, previous=previous, is_partial=True)

    @torch_defaults()
    def _learn(self, X, y, groups, *, previous: FittedModel | None, is_partial: bool):
        """Fit a model and install it; a fit that fails leaves the transformer as it was.

        Parameters
        ----------
        X, y, groups
            As in ``fit``.
        previous : FittedModel or None
            Where training starts.
        is_partial : bool
            Whether this is ``partial_fit``.
        """
        context = self._init_callback_context(max_subtasks=None)
        candidate = copy.copy(self)  # scikit-learn notes the columns on what it checks
        samples, layout = _as_samples(candidate, X, reset=previous is None)
        if previous is None:
            check_not_constant(samples)
            oscillate = has_spectrogram(self.encoder, samples)
        else:
            previous.check_layout(layout)
            if is_partial:  # else the advice at the end of fit compares them
                previous.compare(samples)
            oscillate = previous.config.layout.oscillate
        layout = replace(layout, oscillate=oscillate)
        defaults = default_parameters(DIMTransformer)
        # A class that inherits from this one may have a constructor of its own.
        params = {name: getattr(self, name) for name in defaults}
        columns = select_sklearn_state(vars(candidate))
        listeners = []
        if getattr(self, "_skl_callbacks", None):
            listeners.append(ScikitLearnCallbacks(context, self, {"X": X, "y": y}, columns))
        with InterruptGuard() as guard:
            plan = make_plan(
                params,
                defaults,
                samples,
                layout,
                columns.get("feature_names_in_"),
                previous,
                is_partial=is_partial,
            )
            guard.join(plan.runtime.processes)
            fit = fit_model(samples, number_groups(groups, len(samples)), plan, listeners, guard)
            if fit.interrupt is None and not is_partial:
                advise_on_fit(fit, plan, samples)  # first, because a warning may be an error
            candidate.model_ = fit.model
            self.__dict__ = candidate.__dict__
        if fit.interrupt is not None:
            logger.info("Interrupted; the weights of epoch %d are kept.", self.n_iter_)
            raise fit.interrupt
        return self

    # ------------------------------------------------------------ transform

    def transform(self, X):
        """Return the features of X.

        Parameters
        ----------
        X : array-like of the kind and sample shape that ``fit`` saw

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out), float32
            Every feature has mean 0 over the samples of ``fit``, or nearly 0 if it is averaged over
            similar samples. Components have different variances: the first component has the
            largest, and their mean is 1. The code and local maps have standard deviation 1. So have
            units of the hidden layer in the mean, if they are not more than 256; of more units, the
            variances add up to 256. If X is a dask array, so are the features.
        """
        check_is_fitted(self)
        if is_dask(X):
            return transform_lazily(copy.copy(self).transform, X, self._n_features_out)
        samples = check_samples(self, X)
        batch_size = self.transform_batch_size
        with memory_advice(self.device_, transform_batch_size=self.model_.batch_size(batch_size)):
            return self.model_.features(samples, self.output, batch_size)

    def transform_to(self, X, out):
        """Write the features of X to an array or a file, a batch at a time.

        Parameters
        ----------
        X : array-like of the kind and sample shape that ``fit`` saw
        out : array-like of shape (n_samples, n_features_out), or path
            Anything that takes ``out[start:stop] = features``: an array in memory, a
            ``numpy.memmap``, an array of HDF5 or Zarr. At a path, a file in the format of
            ``numpy.save`` appears when it is complete.

        Returns
        -------
        out : array-like of shape (n_samples, n_features_out)
            The array that was passed, or a ``numpy.memmap`` of the file.

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np
        >>> from skdim import DIMTransformer
        >>> X = np.random.default_rng(0).normal(size=(200, 5))
        >>> dim = DIMTransformer(4, max_epochs=1).fit(X)
        >>> dim.transform_to(X, os.path.join(tempfile.mkdtemp(), "features.npy")).shape
        (200, 4)
        """
        check_is_fitted(self)
        samples = check_samples(self, X)
        batch_size = self.transform_batch_size
        with (
            memory_advice(self.device_, transform_batch_size=self.model_.batch_size(batch_size)),
            open_output(out, (len(samples), self._n_features_out)) as features,
        ):
            self.model_.write_features(samples, self.output, features, batch_size)
        return np.load(out, mmap_mode="r") if is_path(out) else out

    def transform_views(self, X, n_views=4, *, augment="auto", max_samples=None, random_state=None):
        """Return the features of random views of X, which differ only because the views do.

        Parameters
        ----------
        X : array-like of the kind and sample shape that ``fit`` saw
        n_views : int, default=4
        augment : callable, None or "auto", default="auto"
            As in the constructor. "auto" makes the default views of the modality, whatever views
            the encoder was trained on, so that encoders can be compared.
        max_samples : int or None, default=None
            If X has more samples, this number is drawn at random.
        random_state : int, RandomState or None, default=None
            An int makes views reproducible.

        Returns
        -------
        features : ndarray of shape (n_views, n_samples, n_features_out), float32
            The samples are in the order of X.

        Examples
        --------
        >>> import numpy as np
        >>> from skdim import DIMTransformer
        >>> X = np.random.default_rng(0).normal(size=(200, 5))
        >>> dim = DIMTransformer(4, max_epochs=1).fit(X)
        >>> dim.transform_views(X, max_samples=50).shape
        (4, 50, 4)
        """
        check_is_fitted(self)
        check_scalar(n_views, "n_views", Integral, min_val=1)
        if max_samples is not None:
            check_scalar(max_samples, "max_samples", Integral, min_val=1)
        validate_parameter_constraints(
            PARAMETER_CONSTRAINTS, {"augment": augment}, "transform_views"
        )
        samples, size = check_samples(self, X), self.transform_batch_size
        rng = check_random_state(random_state)
        with memory_advice(self.device_, transform_batch_size=self.model_.batch_size(size)):
            return self.model_.features_of_views(
                samples, self.output, augment, n_views, max_samples, rng, size
            )

    # ---------------------------------------------------------------- score

    def score(self, X, y=None) -> float:
        """Return how surely a code recognises its own sample: 0.5 is chance, 1 is always.

        A code is computed from one view of a sample. The critic scores it against the local
        features of the other view (positives), and against those of 127 other samples of X, or of
        all others if there are fewer (negatives). The score is the probability that a positive has
        a higher score than a negative. The critics are those of the local term, or those of the
        global term if there is no local term. Two calls with the same X give the same score.

        The score does not depend on the weights of the terms, as the loss does. To compare
        settings without labels, `skdim.evaluation.view_agreement_scorer` is better.

        Parameters
        ----------
        X : array-like of the kind and sample shape that ``fit`` saw
            At least two samples, held out.
        y : None
            Ignored. Labels give a warning: a search without ``scoring`` scores by this method.

        Returns
        -------
        score : float
            0.5 at chance and if no critic was trained, 1 at best.

        Warns
        -----
        IneffectiveParameterWarning
            If there are labels, which this score does not use.
        """
        check_is_fitted(self)
        self.model_.check_not_trimmed("scoring")
        samples = check_samples(self, X)
        if y is not None:
            warn(
                f"The labels 'y' have no effect on {type(self).__name__}.score, which measures how "
                "surely a code recognises its own sample. To choose by labels, put a classifier "
                "behind the transformer, or set scoring=skdim.evaluation.few_labels_scorer in the "
                "search.",
                IneffectiveParameterWarning,
            )
        return self.model_.score(samples)

    def score_samples(self, X) -> np.ndarray:
        """Return how similar each sample is to the samples of ``fit``. Outliers score lowest.

        The score of a sample is minus its mean distance to the 5 nearest samples of ``fit``, in the
        hidden layer. ``fit`` remembers at most 2000 of its samples for this. A distance of 1 is the
        root mean square distance of these samples from their mean. A remembered sample is not
        compared with itself, so that its score is what it would be if it were new. The score
        depends neither on ``output`` nor on the other samples in X.

        `DIMOutlierDetector` adds a threshold, and ``predict``.

        Parameters
        ----------
        X : array-like of the kind and sample shape that ``fit`` saw

        Returns
        -------
        scores : ndarray of shape (n_samples,), float64
            At most 0. Higher is more similar, as in scikit-learn's outlier detectors.

        References
        ----------
        Sun, Ming, Zhu, Li, "Out-of-distribution detection with deep nearest neighbors", ICML 2022.
        """
        check_is_fitted(self)
        self.model_.check_not_trimmed("scoring")
        return self.model_.score_samples(check_samples(self, X), self.transform_batch_size)

    def score_terms(self, X) -> dict[str, float]:
        """Return every term of the objective on X, each in its own unit, as in ``history_``.

        Parameters
        ----------
        X : array-like of the kind and sample shape that ``fit`` saw
            At least two samples.

        Returns
        -------
        terms : dict
            Each term that has a weight, as its mean over evaluation batches of 128: the bounds
            ``"global"`` and ``"local"`` and the log-likelihood ``"coordinates"`` (higher is
            better), and the encoder's adversarial loss ``"prior"`` (lower is better).
        """
        check_is_fitted(self)
        self.model_.check_not_trimmed("scoring")
        return self.model_.score_terms(check_samples(self, X))

    # ------------------------------------------------------------ files and devices

    def save(self, path) -> None:
        """Write a file that holds only numbers and names, so that reading it cannot run code.

        It is one safetensors file, with arrays and JSON. Custom classes and functions (an encoder,
        views, an MI estimator) are not in it; pass them to `load`. Metadata requests and callbacks
        of scikit-learn are not in it either. An existing file is replaced in one step.

        Parameters
        ----------
        path : path
        """
        check_is_fitted(self)
        self._validate_params()  # `load` does so, too
        params = self.get_params(deep=False)
        write_transformer(path, params, vars(self), self.model_)

    @classmethod
    def load(cls, path, **custom_objects) -> "DIMTransformer":
        """Read a file that `save` wrote.

        Files from untrusted sources are safe to read: nothing in them is executed, and everything
        is checked before it is used.

        Parameters
        ----------
        path : path
        **custom_objects
            Parameters of the constructor that hold custom classes or functions, and the
            ``encoder_params`` of a custom encoder. Change other parameters after loading, by
            ``set_params``, and the device by `to`.

        Returns
        -------
        transformer : DIMTransformer
            On the device that the ``device`` parameter names, or the CPU if it is not present.

        Raises
        ------
        TypeError, ValueError
            If a parameter is unknown, or is in the file.
        skdim.exceptions.FileError
            If it is not a file of skdim, or damaged, or a custom object is missing; the message
            says which.

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np
        >>> from skdim import DIMTransformer
        >>> X = np.random.default_rng(0).normal(size=(200, 5))
        >>> dim = DIMTransformer(4, max_epochs=1).fit(X)
        >>> path = os.path.join(tempfile.mkdtemp(), "dim.safetensors")
        >>> dim.save(path)
        >>> np.array_equal(DIMTransformer.load(path).transform(X), dim.transform(X))
        True
        """
        check_names(custom_objects, cls._get_param_names(), cls.__name__)
        transformer, _ = load_transformer(cls, path, custom_objects)
        return transformer

    def export_onnx(self, path, *, dtype="float32") -> None:
        """Write an ONNX graph from raw X to the features of ``output``; see `skdim.onnx_export`.

        Parameters
        ----------
        path : path
        dtype : {"float32", "float64", "uint8"}, default="float32"
            Type of X.
        """
        check_is_fitted(self)
        write_graph(path, self.model_, self.output, dtype)

    def trim(self) -> "DIMTransformer":
        """Forget what ``transform`` does not need: critics, optimisers and history.

        A trimmed transformer can no longer `score`, and it can only be trained afresh.

        Returns
        -------
        self : DIMTransformer
        """
        check_is_fitted(self)
        self.model_.trim()
        return self

    def to(self, device) -> "DIMTransformer":
        """Move what was learned to another device; the ``device`` parameter does not change.

        Parameters
        ----------
        device : str or torch.device

        Returns
        -------
        self : DIMTransformer
        """
        check_is_fitted(self)
        self.model_.to(choose_device(device))
        return self

    # ------------------------------------------------------------- contract

    @property
    def _n_features_out(self) -> int:
        return self.model_.readout(self.output).n_features

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self.allow_nan
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def __copy__(self):
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    @torch_defaults()
    def __deepcopy__(self, memo):
        twin = copy.copy(self)
        twin.__dict__ = copy.deepcopy(self.__dict__, memo)
        return twin

    def __getstate__(self) -> dict:
        """Plain Python and numpy only: what was fitted on a GPU loads anywhere."""
        state = dict(super().__getstate__())
        if "model_" in state:
            state["model_"] = state["model_"].state()
        return stamp(state)

    def __setstate__(self, state: dict) -> None:
        state = upgrade_pickle("transformer", state, self._get_param_names())
        model = state.pop("model_", None)
        # A class that inherits from this one may have got parameters of its own.
        super().__setstate__({**default_parameters(type(self)), **state})
        if model is not None:
            trained_with = {name: copy.copy(getattr(self, name)) for name in TRAINED_WITH}
            self.model_ = FittedModel.from_state(
                model, _device_for_loading(self.device), trained_with
            )


def check_samples(transformer: DIMTransformer, X: Any) -> Samples:
    """Check an X against that of ``fit``, and read it as samples (n, channels, *sides).

    Raises
    ------
    ValueError, TypeError
        If X is unfit, or a parameter was changed to a value that is not legal; the message says in
        which respect.
    """
    params = {name: getattr(transformer, name) for name in USED_AFTER_FIT}
    validate_parameter_constraints(PARAMETER_CONSTRAINTS, params, type(transformer).__name__)
    samples, layout = _as_samples(transformer, X, reset=False)
    transformer.model_.check_layout(layout)
    is_new = transformer.allow_nan and not transformer.model_.config.layout.allow_nan
    if is_new and isinstance(samples, np.ndarray) and np.isnan(samples).any():
        raise ValueError("X must hold no NaN, as in fit, when 'allow_nan' was False. Got some.")
    return samples


def _as_samples(transformer: DIMTransformer, X: Any, *, reset: bool) -> tuple[Samples, Layout]:
    """Check X as scikit-learn does and read it as samples; ``reset`` in the first fit."""
    samples, layout = as_samples(
        X,
        transformer.sample_shape,
        transformer.channel_axis,
        transformer.allow_nan,
        n_min=2 if reset else 1,
    )
    if not reset and not transformer.model_.config.layout.is_flat:
        # For scikit-learn, the second axis of X holds features.
        transformer.model_.check_layout(layout)
    columns = samples.source if isinstance(samples, StoredSamples) else X  # names and number
    validate_data(transformer, columns, reset=reset, skip_check_array=True)
    if reset and transformer.channel_axis == "auto" and transformer.column_groups is None:
        warn_of_another_reading(samples, layout)
    return samples, layout


@torch_defaults()
def load_transformer(
    estimator: type[DIMTransformer],
    path: str | PathLike,
    custom_objects: Mapping[str, Any],
    owner: Owner | None = None,
) -> tuple[DIMTransformer, dict[str, Any]]:
    """Read a transformer and try what it is for.

    Parameters
    ----------
    estimator : type
    path, custom_objects
        As in `DIMTransformer.load`.
    owner : Owner or None
        The estimator that the file must hold too; None if it must hold none.

    Returns
    -------
    transformer : DIMTransformer
    own : dict
        Parameters and attributes of the owner, unchecked; empty if there is none.

    Raises
    ------
    FileError
        As in `DIMTransformer.load`.
    """
    transformer = estimator()
    params = transformer.get_params(deep=False)
    state, own = read_transformer(path, custom_objects, params, PARAMETER_CONSTRAINTS, owner)
    with errors_of_file(path):
        transformer.__setstate__(state)
        check_usable(transformer.model_)
        _check_reads_like_fit(transformer)
    return transformer, own


def _check_reads_like_fit(transformer: DIMTransformer) -> None:
    """Raise ValueError if the parameters of a file read X otherwise than its model does."""
    model = transformer.model_
    shape = (1, *model.config.layout.x_shape)
    layout = find_layout(shape, transformer.sample_shape, transformer.channel_axis)
    if layout.sample_shape != model.sample_shape:
        raise ValueError("'sample_shape' and 'channel_axis' are not those of the layout")


def _device_for_loading(device: str | torch.device) -> torch.device:
    try:
        return choose_device(device)
    except ValueError:
        logger.warning("Device %s is not present: the transformer is loaded on the CPU.", device)
        return torch.device("cpu")
