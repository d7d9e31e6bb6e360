"""DIMTransformer: Deep InfoMax behind the contract of scikit-learn."""

import copy
import logging
import math
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data
from skorch.callbacks import Callback

from skdim.advice import advise_on_budget, advise_on_codes, advise_on_samples
from skdim.callbacks import (
    EarlyStopping,
    EpochLog,
    ProgressBar,
    ScikitLearnCallbacks,
    StopOnDivergence,
)
from skdim.checkpoint import Checkpoint, WriteCheckpoints, key_of
from skdim.devices import (
    PRECISIONS,
    choose_device,
    choose_precision,
    compiler_advice,
    freed_memory_kept,
    memory_advice,
)
from skdim.encoders import Encoding, adapt, wants_to_adapt
from skdim.features import encode_padded, largest_tile, tile_size
from skdim.files import FileError, check_fitted, read, write
from skdim.net import DIMNet, count_batches, seeded
from skdim.onnx_graph import write_graph
from skdim.optimization import OPTIMIZERS, SCHEDULES, has_one_kernel
from skdim.pickling import as_arrays, as_tensors, refer
from skdim.placement import choose_placement, to_tensor
from skdim.priors import Prior
from skdim.ranks import ALONE, Ranks, join, loss_of_a_rank
from skdim.readout import OUTPUTS, Readout, fit_readouts
from skdim.recipe import INGREDIENTS, Recipe, carry_over, check_weights, decide
from skdim.recording import choose_recorder
from skdim.registry import lookup
from skdim.scoring import N_STRANGERS, HeldOut, draw_strangers, score_alone
from skdim.sources import (
    DTYPES,
    Samples,
    Source,
    StoredSamples,
    as_source,
    is_dask,
    is_path,
    opened,
    part_of,
    transform_lazily,
)
from skdim.statistics import channel_statistics, check_not_constant
from skdim.validation import (
    numbers_wanted,
    read_array,
    read_groups,
    read_samples,
)
from skdim.versions import __version__, compare_versions

try:  # scikit-learn 1.9
    from sklearn.callback import CallbackSupportMixin
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Older versions have no callbacks to support."""

        def _init_callback_context(self, **kwargs):
            return None


logger = logging.getLogger("skdim")

# What a safe file may hold besides parameters.
STATE = {
    "_readouts",
    "_sklearn_output_config",  # of set_output
    "_strangers",
    "_training",
    "_version",
    "_weights",
    "best_epoch_",
    "device_",
    "feature_names_in_",
    "history_",
    "mean_",
    "n_features_in_",
    "n_iter_",
    "precision_",
    "sample_shape_",
    "scale_",
}
OPTIONAL_STATE = {"_sklearn_output_config", "best_epoch_", "feature_names_in_"}
# Parameters that a file does not hold: a stranger's must not say where a fit writes.
OF_THIS_MACHINE = {
    "checkpoint",
    "checkpoint_epochs",
    "checkpoint_minutes",
    "distributed",
    "resume",
}
IN_FIT = " in fit"  # after the name of a parameter, in a file: its value then

# Learned by ``fit`` and not public; what is public ends in an underscore.
FITTED = ("_recipe", "_ingredients", "_objective", "_readouts", "_strangers", "_training")

# Samples that max_epochs="auto" shows besides three passes; steps of rows are cheap.
N_SHOWN, N_SHOWN_ROWS = 30_000, 100_000

# Samples that an encoder sees before training, if it asks for some.
N_FIRST_SEEN = 1000

PAPER_WEIGHTS: dict[str, dict[str, float]] = {
    "global": {"global_weight": 1.0, "local_weight": 0.0, "prior_weight": 1.0},
    "local": {"global_weight": 0.0, "local_weight": 1.0, "prior_weight": 0.1},
    # The paper gives no weight of the prior for this one.
    "local+global": {"global_weight": 0.5, "local_weight": 0.1, "prior_weight": 0.1},
}

PAPER_SETTINGS = {
    "encoder": "paper32",
    "output": "code",
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


class DIMTransformer(
    ClassNamePrefixFeaturesOutMixin, CallbackSupportMixin, TransformerMixin, BaseEstimator
):
    """Features learned without labels, by Deep InfoMax.

    ``fit`` trains an encoder whose code of a sample tells the sample's own local features from
    those of other samples; ``transform`` returns what it has learned, ``n_components`` features a
    sample. Images and table rows are understood as they come, signals and volumes by their
    ``channel_axis``; training needs no labels and ignores ``y``.

    Parameters
    ----------
    n_components : int or None, default=64
        Number of features, and length of the code. None leaves the code's layer out: the hidden
        layer is the code.
    encoder : {"auto", "mlp", "signal", "conv", "resnet", "paper28", "paper32", "paper64", \
"paper_alexnet64", "paper_resnet19", "paper_resnet34", "paper_crops_alexnet64", \
"paper_crops_resnet19", "paper_globals_alexnet64", "paper_globals_resnet19"} or type, default="auto"
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
    column_groups : sequence of sequence of int or str, or None, default=None
        For rows: columns that belong together, such as those of a one-hot code, by number or by
        name. They share a location and are swapped together.
    output : {"components", "hidden", "code", "local"}, default="components"
        What ``transform`` returns; may be changed after ``fit``. "hidden" is the layer before the
        code, wide and best for most classifiers; "components" its first ``n_components`` principal
        components, which classify better than the code; "code" what the bounds are about; "local"
        the last local map, whole.
    mirror : bool, default=False
        Whether codes and hidden layers of images and volumes are means over the sample and its
        mirror image, left to right: steadier, at twice the time of ``transform``.
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
    coordinate_weight : float, default=0.0
        Weight of coordinate prediction: from code and local vector, where in the map the vector
        is. For maps with axes of one length; not for rows.
    coordinates : {"both", "absolute", "relative"}, default="both"
        Predict the place of each local vector, its offset from another one, or both; see
        `skdim.coordinates`.
    augment : "auto", None or callable, default="auto"
        Two random views of each sample are compared, code of one with locals of the other.
        "auto" moves grey images and volumes, crops, mirrors and recolours colour images (to three
        quarters of their size, where the encoder takes any size and there is no global term),
        cuts, warps and scales signals, swaps and jitters cells of rows; None compares each sample
        with itself (the paper); a callable maps ``(batch, generator)`` to a batch. See
        `skdim.augmentation`.
    n_views : int, default=2
        Random views of each sample in a step; the code of each is compared with the locals of all
        others. One view is compared with itself, and ``augment=None`` has no more than one.
    n_crops : int, default=0
        Small crops of each sample besides, half as large on every side, whose locals the codes of
        the views are compared with. They pass through the encoder side by side, as many as fill a
        sample: a multiple of 4 for images, 2 for signals, 8 for volumes.
    occlusion : bool, default=False
        Whether a random box of each view is hidden from the code, which is compared with locals of
        whole views. One more pass through the encoder for each view; not for rows.
    max_epochs : int or "auto", default="auto"
        Passes over X. "auto" shows the encoder about 30,000 samples, 100,000 of rows, plus three
        passes.
    max_time : float or None, default=None
        Seconds of training after which ``fit`` ends, if ``max_epochs`` has not ended it before. The
        learning-rate schedule follows whichever ends first. Fits that time ends do not repeat.
    batch_size : int, default=128
        Largest number of samples in a step, at least 2; each serves as a negative for the others.
    optimizer : {"muon", "adamw", "adam", "sgd"} or callable, default="muon"
        "muon" is AdamW apart from the filters of images and volumes; see
        `skdim.optimization.Muon`.
    optimizer_params : dict or None, default=None
        Further keyword arguments of the optimiser, for instance ``{"weight_decay": 0.01}``.
    learning_rate : float, default=2e-3
        Highest learning rate of encoder and critics.
    prior_learning_rate : float or None, default=None
        Highest learning rate of the prior's discriminator; None takes ``learning_rate``.
    gradient_clip_norm : float or None, default=10.0
        Longer gradients of encoder and critics are shortened to this norm. Estimators with an
        exponential ("nwj", "rkl", "hellinger") hardly train without.
    lr_schedule : {"warmup_cosine", "constant"}, callable or None, default="warmup_cosine"
        Factor on the learning rate; a callable gets the finished part of training, 0 to 1; None
        leaves learning rates to ``callbacks``. Not used by ``partial_fit``, which has no end.
    average_last : float, default=0.0
        Last part of training, 0 to 1, over whose steps the weights are averaged; 0 takes those of
        the last step. Early stopping returns to those of the best epoch instead.
    early_stopping : bool, default=False
        Hold out a part of X, `score` it after every epoch, stop when that gains nothing, and
        return to the best weights.
    validation_fraction : float, default=0.1
        Part of the samples (of the groups, if there are any) that early stopping holds out.
    n_iter_no_change : int, default=10
        Epochs in a row without a gain after which early stopping stops.
    tol : float, default=1e-4
        What early stopping does not count as a gain.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the weights and statistics of the last fit.
    checkpoint : str or None, default=None
        A folder where ``fit`` keeps its state, in a sub-folder named by its parameters and data, so
        that fits of a search share the folder and never a state. Not for ``partial_fit``.
    checkpoint_epochs : int or None, default=1
        Epochs from one state to the next; None leaves it to ``checkpoint_minutes``.
    checkpoint_minutes : float or None, default=None
        Minutes after which a state is due, with the next epoch that ends. The last epoch's is
        written always.
    distributed : bool, default=False
        Whether the processes that ``torchrun`` started train one encoder, each on its part of every
        batch, as one process would on the whole. All of them call ``fit`` with the same X, and
        learn the same.
    resume : bool, default=False
        Whether ``fit`` goes on from the state of an earlier fit with the same parameters and data,
        if there is one, and ends as that would have: to the last bit, on a CPU. A fit that had come
        to its end is not repeated. False starts afresh.
    callbacks : list of skorch.callbacks.Callback or of (str, Callback), or None, default=None
        Copied by every fit, never changed.
    device : str, default="auto"
        "auto" is CUDA where there is a GPU, else the CPU.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of training; ``transform`` is float32 always. "auto" is bfloat16 for convolutions where
        the processor has instructions for it.
    transform_batch_size : int or None, default=None
        Samples encoded at once by ``transform``, at most 65,536 and 128 MiB of them. None is 16 to
        1024 on a CPU, by their size, and 1024 elsewhere.
    random_state : int, RandomState or None, default=None
        Seeds weights, batches, views and prior. Global generators of torch are left as they were.
    verbose : int, default=0
        1 shows a progress bar. Every epoch is logged to the logger ``"skdim"`` regardless.
    compile : bool, default=False
        Whether ``torch.compile`` compiles the encoder for training, which takes up to minutes and
        needs a compiler on the machine.
    data_on_device : bool or "auto", default="auto"
        Whether X is moved to the device whole before training, or batch by batch during it, with
        the same results. "auto" moves it whole, unless it is not in memory either, or would fill
        half of a GPU's free memory.

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
        One an epoch: ``loss``, the bounds ``global`` and ``local`` and
        ``coordinates`` (to be raised), ``prior`` and
        ``discriminator`` (to be lowered), ``learning_rate``, ``seconds``, ``samples_per_second``;
        ``validation_score`` where ``early_stopping`` holds samples out.
    best_epoch_ : int
        The epoch whose weights were kept, where ``early_stopping`` holds samples out.
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

    _recipe: Recipe

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "encoder": [str, callable],
        "encoder_params": [dict, None],
        "sample_shape": [tuple, list, None],
        "channel_axis": [Integral, None, StrOptions({"auto"})],
        "column_groups": [list, tuple, None],
        "output": [StrOptions(set(OUTPUTS))],
        "mirror": ["boolean"],
        "global_weight": [Interval(Real, 0, None, closed="left")],
        "local_weight": [Interval(Real, 0, None, closed="left")],
        "prior_weight": [Interval(Real, 0, None, closed="left")],
        "mi_estimator": [str, callable],
        "critic": [str, callable],
        "critic_width": [Interval(Integral, 1, None, closed="left")],
        "n_locations": [Interval(Integral, 1, None, closed="left"), None],
        "prior": [str, callable, Prior],
        "gradient_penalty": [Interval(Real, 0, None, closed="left")],
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
        "prior_learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "gradient_clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "lr_schedule": [str, callable, None],
        "average_last": [Interval(Real, 0, 1, closed="both")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "checkpoint": [str, None],
        "checkpoint_epochs": [Interval(Integral, 1, None, closed="left"), None],
        "checkpoint_minutes": [Interval(Real, 0, None, closed="neither"), None],
        "resume": ["boolean"],
        "distributed": ["boolean"],
        "callbacks": [list, tuple, None],
        "device": [str, torch.device],
        "precision": [StrOptions({"auto", *PRECISIONS})],
        "transform_batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "compile": ["boolean"],
        "data_on_device": ["boolean", StrOptions({"auto"})],
    }

    def __init__(
        self,
        n_components=64,
        *,
        encoder="auto",
        encoder_params=None,
        sample_shape=None,
        channel_axis="auto",
        column_groups=None,
        output="components",
        mirror=False,
        global_weight=0.0,
        local_weight=1.0,
        prior_weight=0.0,
        mi_estimator="infonce",
        critic="separable",
        critic_width=128,
        n_locations=None,
        prior="uniform",
        gradient_penalty=0.0,
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
        prior_learning_rate=None,
        gradient_clip_norm=10.0,
        lr_schedule="warmup_cosine",
        average_last=0.0,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        warm_start=False,
        checkpoint=None,
        checkpoint_epochs=1,
        checkpoint_minutes=None,
        resume=False,
        distributed=False,
        callbacks=None,
        device="auto",
        precision="auto",
        transform_batch_size=None,
        random_state=None,
        verbose=0,
        compile=False,
        data_on_device="auto",
    ):
        self.n_components = n_components
        self.encoder = encoder
        self.encoder_params = encoder_params
        self.sample_shape = sample_shape
        self.channel_axis = channel_axis
        self.column_groups = column_groups
        self.output = output
        self.mirror = mirror
        self.global_weight = global_weight
        self.local_weight = local_weight
        self.prior_weight = prior_weight
        self.mi_estimator = mi_estimator
        self.critic = critic
        self.critic_width = critic_width
        self.n_locations = n_locations
        self.prior = prior
        self.gradient_penalty = gradient_penalty
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
        self.prior_learning_rate = prior_learning_rate
        self.gradient_clip_norm = gradient_clip_norm
        self.lr_schedule = lr_schedule
        self.average_last = average_last
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.checkpoint_epochs = checkpoint_epochs
        self.checkpoint_minutes = checkpoint_minutes
        self.resume = resume
        self.distributed = distributed
        self.callbacks = callbacks
        self.device = device
        self.precision = precision
        self.transform_batch_size = transform_batch_size
        self.random_state = random_state
        self.verbose = verbose
        self.compile = compile
        self.data_on_device = data_on_device

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
            least two samples. See ``channel_axis``. Also what is not in memory, and is never held
            whole: see `skdim.sources`.
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
        MemoryError
            If the device's memory is exhausted.

        Warns
        -----
        ConvergenceWarning
            If the loss was still falling at the end of ``max_epochs`` or ``max_time``.
        FewSamplesWarning, CollapseWarning
            If more than what PCA gives is not to be expected, or the codes have collapsed.

        Notes
        -----
        A ``KeyboardInterrupt`` comes through. The transformer is then fitted as of the last whole
        epoch, or as it was if there was none.
        """
        restart = not (self.warm_start and self.__sklearn_is_fitted__())
        return self._learn(X, y, groups, restart=restart, to_the_end=True)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, groups=None):
        """Train for one pass over X, going on from what was learned before.

        Means and scales of the first X stay; optimiser and random numbers go on, also after the
        transformer was saved and loaded. The learning rate is as given, without schedule.

        Parameters
        ----------
        X, y, groups
            As in ``fit``.

        Returns
        -------
        self : DIMTransformer
        """
        restart = not self.__sklearn_is_fitted__()
        return self._learn(X, y, groups, restart=restart, to_the_end=False)

    def _learn(self, X, y, groups, *, restart: bool, to_the_end: bool) -> "DIMTransformer":
        """Train a draft and become it: a fit that fails leaves the estimator as it was."""
        context = self._init_callback_context(max_subtasks=None)
        draft = copy.copy(self)
        if not restart:
            self._check_not_trimmed("training")
        samples = draft._check(X, reset=restart)
        if restart:
            draft._forget()
            check_not_constant(samples)
        groups = read_groups(groups, len(samples))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        draft._decide(samples.shape[1:], restart=restart)
        ranks = draft._join(samples)
        seed = ranks.from_first(seed)
        with ExitStack() as stack:
            stack.enter_context(loss_of_a_rank(ranks, self._advice_on_loss()))
            place, progress = None, None
            if to_the_end and self.checkpoint is not None:
                place = draft._checkpoint(samples, groups, seed, restart, ranks)
                stack.enter_context(place.held())
                progress = draft._last_state(place)
                seed = seed if progress is None else progress["seed"]
            watched = None
            if to_the_end and self.early_stopping:
                samples, groups, watched = draft._hold_out(samples, groups, seed)
            if groups is not None:
                draft._check_strangers(groups)
            if restart:
                draft.mean_, draft.scale_ = channel_statistics(samples, ranks)
            n_epochs = draft._n_epochs(len(samples)) if to_the_end else 1
            stopping = None if watched is None else draft._early_stopping(watched)
            callbacks = draft._callbacks(stopping, ranks)
            if getattr(self, "_skl_callbacks", None):
                context.max_subtasks = n_epochs
                reconstruct = partial(draft._attributes_if_it_ended_now, samples, ranks)
                callbacks.append(ScikitLearnCallbacks(context, self, {"X": X, "y": y}, reconstruct))
            if place is not None:
                callbacks.append(("checkpoint", draft._write_checkpoints(place, seed)))
            advice = {"batch_size": self.batch_size, "critic_width": self.critic_width}
            stack.enter_context(memory_advice(draft.device_, **advice))
            stack.enter_context(freed_memory_kept(draft.device_))
            net, interrupt = draft._train(
                samples,
                groups,
                seed,
                callbacks,
                n_epochs,
                restart=restart,
                to_the_end=to_the_end,
                progress=progress,
                ranks=ranks,
            )
            draft._install(net, samples, ranks)
        if stopping is not None:
            draft.best_epoch_ = draft.n_iter_ - len(net.history) + stopping.best_epoch
        self.__dict__ = draft.__dict__
        if interrupt is not None:
            logger.info("Interrupted; the weights of epoch %d are kept.", self.n_iter_)
            raise interrupt
        if to_the_end:
            self._advise(net, samples)
        return self

    def _join(self, samples: Samples) -> Ranks:
        """Meet the other processes of this fit, if there are any."""
        if not self.distributed:
            return ALONE
        ranks = join(self.device_)
        ranks.check_same((samples.shape, samples.dtype.str), "X")
        smallest = len(samples) // count_batches(len(samples), self.batch_size)
        if smallest < ranks.n_ranks:
            raise ValueError(
                f"The 'batch_size' parameter must leave every one of {ranks.n_ranks} processes a "
                f"sample of each batch. Got {self.batch_size}, for {len(samples)} samples."
            )
        return ranks

    def _advice_on_loss(self) -> str:
        if self.checkpoint is None:
            return "Set the 'checkpoint' parameter, and a fit can be taken up again."
        return f"The last state is whole, in {self.checkpoint!r}: start all again with resume=True."

    def _forget(self) -> None:
        """Leave nothing of an earlier fit."""
        kept = ("n_features_in_", "feature_names_in_")  # of the X that was just checked
        for name in list(vars(self)):
            if (name.endswith("_") and name not in kept) or name in FITTED:
                delattr(self, name)

    def _decide(self, sample_shape: tuple[int, ...], *, restart: bool) -> None:
        """Work out everything that does not depend on numbers in X."""
        names = getattr(self, "feature_names_in_", None)
        recipe = decide(self.get_params(deep=False), sample_shape, names)
        if restart:
            self.sample_shape_ = sample_shape
            self.device_ = choose_device(self.device)
            self.precision_ = choose_precision(
                self.precision, self.device_, len(self.sample_shape_)
            )
        if not restart:
            self._recipe.check_same_encoder(recipe)
        self._recipe = recipe
        self._ingredients = {name: getattr(self, name) for name in INGREDIENTS}

    def _hold_out(
        self, samples: Samples, groups: np.ndarray | None, seed: int
    ) -> tuple[Samples, np.ndarray | None, Samples]:
        """Set samples aside for early stopping, whole groups where there are groups."""
        n_units = len(samples) if groups is None else len(np.unique(groups))
        what = "samples" if groups is None else "groups"
        if math.ceil(self.validation_fraction * n_units) >= n_units:
            raise ValueError(
                "The 'validation_fraction' parameter must leave something to train on. Got "
                f"{self.validation_fraction} of {n_units} {what}."
            )
        splitter = ShuffleSplit if groups is None else GroupShuffleSplit
        split = splitter(1, test_size=self.validation_fraction, random_state=seed)
        train, watched = next(split.split(np.empty(len(samples)), groups=groups))
        if min(len(train), len(watched)) < 2:
            raise ValueError(
                f"The 'validation_fraction' parameter must leave 2 samples at least to train on "
                f"and to hold out. Got {self.validation_fraction} of {len(samples)} samples."
            )
        remaining = None if groups is None else read_groups(groups[train], len(train))
        return part_of(samples, train), remaining, part_of(samples, watched)

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

    def _train(
        self, samples, groups, seed, callbacks, n_epochs, *, restart, to_the_end, progress, ranks
    ) -> tuple[DIMNet, KeyboardInterrupt | None]:
        """Build encoder, objective and net, and let the net train; an interrupt is handed over."""
        placement = choose_placement(self.data_on_device, samples, self.device_)
        placed = placement(samples, self.mean_, self.scale_, self.device_)
        n_steps = n_epochs * count_batches(len(samples), self.batch_size)
        state = {} if restart else self.__dict__.pop("_training", {})
        with seeded(seed, self.device_, state.get(f"{self.device_.type} generator")) as generator:
            encoder = self._recipe.build_encoder(self.device_)
            objective = self._recipe.build_objective(encoder, self.device_)
            if restart:
                order = torch.randperm(len(samples), generator=generator, device=self.device_)
                if wants_to_adapt(encoder):
                    n_seen = min(N_FIRST_SEEN, largest_tile(self.sample_shape_))
                    stored = placed.take(order[:n_seen].to(placed.rows_device))
                    adapt(encoder, placed.standardize(stored))
            ranks.spread(encoder, objective)
            is_same = not restart and all(
                [carry_over(self.encoder_, encoder), carry_over(self._objective, objective)]
            )
            draws = generator
            if not ranks.is_alone:  # what is drawn for one rank's samples is not another's
                draws = torch.Generator(self.device_).manual_seed(seed + 1 + ranks.rank)
                torch.manual_seed(seed + 1 + ranks.rank)
            schedule = self.lr_schedule if to_the_end else "constant"
            net = DIMNet(
                encoder,
                objective,
                augment=self._recipe.augment,
                n_views=self._recipe.n_views,
                n_crops=self._recipe.n_crops,
                occlusion=self._recipe.occlusion,
                generator=generator,
                draws=draws,
                ranks=ranks,
                groups=None if groups is None else to_tensor(groups).to(self.device_),
                max_epochs=n_epochs,
                average_last=self.average_last if to_the_end else 0.0,
                max_time=self.max_time if to_the_end else None,
                batch_size=self.batch_size,
                optimizer=lookup(self.optimizer, OPTIMIZERS, "optimizer"),
                optimizer_params=self._optimizer_params(self.learning_rate),
                discriminator_optimizer_params=self._optimizer_params(
                    self.prior_learning_rate or self.learning_rate
                ),
                gradient_clip_norm=self.gradient_clip_norm,
                lr_schedule=None
                if schedule is None
                else lookup(schedule, SCHEDULES, "lr_schedule"),
                precision=PRECISIONS[self.precision_],
                compiled=self.compile,
                recorder=choose_recorder(generator, n_steps, self._obstacle_to_recording()),
                device=self.device_,
                callbacks=callbacks,
            ).initialize()
            if is_same and "optimizers" in state:
                net.load_optimizer_states(state["optimizers"])
            if progress is not None:
                net.load_state(progress["net"])
            interrupt = None
            try:
                with compiler_advice():
                    net.train(placed)
            except KeyboardInterrupt as raised:
                if not net.history:
                    raise
                interrupt = raised
            if not to_the_end:
                self._training = {
                    "optimizers": net.optimizer_states(),
                    f"{self.device_.type} generator": generator.get_state(),
                }
        return net, interrupt

    def _obstacle_to_recording(self) -> str | None:
        """Say what makes a step one that cannot be repeated as it was."""
        if self.callbacks:
            return "the 'callbacks' may change what a step does"
        if self.distributed:
            return "the processes of a 'distributed' fit exchange messages"
        optimizer = lookup(self.optimizer, OPTIMIZERS, "optimizer")
        if not has_one_kernel(optimizer, self.optimizer_params or {}):
            return "the 'optimizer' does not read its learning rate from a tensor"
        return None

    def _early_stopping(self, watched: Samples) -> EarlyStopping:
        return EarlyStopping(self._held_out(watched), self.n_iter_no_change, self.tol)

    def _checkpoint(
        self,
        samples: Samples,
        groups: np.ndarray | None,
        seed: int,
        restart: bool,
        ranks: Ranks,
    ) -> Checkpoint:
        """Return this fit's place in the folder of checkpoints."""
        decided = {
            "seed": None if self.random_state is None else seed,
            "device": self.device_.type,
            "precision": self.precision_,
            "encoder": None if restart else self.encoder_.state_dict(),
            "objective": None if restart else self._objective.state_dict(),
        }
        key = key_of(self.get_params(deep=False), decided, samples, groups)
        return Checkpoint(self.checkpoint, key, ranks)

    def _last_state(self, place: Checkpoint) -> dict | None:
        """Return the state to go on from, if that is wanted."""
        if not self.resume:
            return None
        if self.callbacks:
            raise ValueError(
                "The 'callbacks' parameter must be None with resume=True: callbacks may hold state "
                f"of their own, which no checkpoint has. Got {len(self.callbacks)} of them."
            )
        progress = place.read()
        if progress is not None:
            logger.info("Going on from epoch %d.", len(progress["net"]["epochs"]))
        return progress

    def _write_checkpoints(self, place: Checkpoint, seed: int) -> WriteCheckpoints:
        return WriteCheckpoints(
            place, self.checkpoint_epochs, self.checkpoint_minutes, {"seed": seed}
        )

    def _callbacks(self, stopping: EarlyStopping | None, ranks: Ranks) -> list:
        """List who listens, in order: the log tells what was recorded before it."""
        for given in self.callbacks or []:
            callback = given[1] if isinstance(given, tuple) and len(given) == 2 else given
            if not isinstance(callback, Callback):
                raise TypeError(
                    "The 'callbacks' parameter must hold instances of skorch.callbacks.Callback, "
                    f"or pairs of a name and one. Got {given!r}."
                )
        return [
            ("divergence", StopOnDivergence()),
            *([("early_stopping", stopping)] if stopping is not None else []),
            *([("log", EpochLog())] if ranks.is_first else []),
            *([("progress", ProgressBar())] if self.verbose and ranks.is_first else []),
            *copy.deepcopy(list(self.callbacks or [])),
        ]

    def _install(self, net: DIMNet, samples: Samples, ranks: Ranks) -> None:
        """Take over what the net has learned."""
        self.encoder_ = net.module_.eval()
        self._objective = net.criterion_.eval()
        epochs = [net.epoch(i) for i in range(len(net.history))]
        self.history_ = [*getattr(self, "history_", []), *epochs]
        for number, epoch in enumerate(self.history_, start=1):
            epoch["epoch"] = number
        self.n_iter_ = len(self.history_)
        own = np.array_split(np.arange(len(samples)), ranks.n_ranks)[ranks.rank]
        tiles = self._padded(samples if ranks.is_alone else part_of(samples, own))
        self._readouts = fit_readouts(tiles, len(samples), self._recipe.n_components, own[0], ranks)
        self._strangers = self._draw_strangers(samples)

    def _draw_strangers(self, samples: Samples) -> list[np.ndarray]:
        """Keep local vectors of a few samples, for `score_samples`."""
        if not self._objective.has_critics:
            return []
        rows = np.random.default_rng(0).permutation(len(samples))[:N_STRANGERS]
        tiles = self._padded(samples[np.sort(rows)])
        maps = [[m[:n] for m in encoding.local_maps] for n, encoding in tiles]
        local_maps = tuple(torch.cat(parts) for parts in zip(*maps, strict=True))
        return [v.cpu().numpy() for v in draw_strangers(self._objective, local_maps)]

    def _attributes_if_it_ended_now(self, samples: Samples, ranks: Ranks, net: DIMNet) -> dict:
        twin = copy.copy(self)
        twin._install(net, samples, ranks)
        return {name: value for name, value in vars(twin).items() if name not in self.get_params()}

    def _advise(self, net: DIMNet, samples: Samples) -> None:
        """Warn of what a look at the finished fit shows."""
        advise_on_samples(len(samples), len(self.sample_shape_))
        codes = self._features(samples[:1000], "code")
        advise_on_codes(codes)
        if net.is_stopping:
            return  # a callback ended it, not the budget
        if net.n_whole_epochs < net.max_epochs:
            advise_on_budget(net.step_losses, f"max_time={self.max_time}")
        elif self.max_epochs != "auto":
            advise_on_budget(net.step_losses, f"max_epochs={self.max_epochs}")

    def _n_epochs(self, n_samples: int) -> int:
        if self.max_epochs == "auto":
            n_shown = N_SHOWN_ROWS if len(self.sample_shape_) == 1 else N_SHOWN
            return 3 + math.ceil(n_shown / n_samples)
        return self.max_epochs

    def _optimizer_params(self, learning_rate: float) -> dict:
        return {"lr": learning_rate, **(self.optimizer_params or {})}

    # ------------------------------------------------------------ transform

    def transform(self, X):
        """Return the features of X.

        Parameters
        ----------
        X : array-like of the kind and sample shape that ``fit`` saw

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out), float32
            Each has mean 0 over the training samples, and standard deviation 1; components differ
            in theirs, and have mean square 1 together. Those of a dask array are a dask array,
            computed when it is wanted.
        """
        check_is_fitted(self)
        if is_dask(X):
            return transform_lazily(self, X, self._n_features_out)
        samples = self._check(X, reset=False)
        with memory_advice(self.device_, transform_batch_size=self._tile_size()):
            return self._features(samples, self.output)

    def transform_to(self, X, out):
        """Write the features of X where they are wanted, a few samples at a time.

        Parameters
        ----------
        X : array-like of the kind and sample shape that ``fit`` saw
        out : array-like of shape (n_samples, n_features_out), or path
            Anything that takes ``out[start:stop] = features``: an array in memory, a
            ``numpy.memmap``, an array of HDF5 or Zarr. A path gets a file of ``numpy.save``, whole
            or not at all.

        Returns
        -------
        out : array-like of shape (n_samples, n_features_out)
            That of ``out``; a ``numpy.memmap``, where it is a path.

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
        samples = self._check(X, reset=False)
        shape = (len(samples), self._n_features_out)
        with (
            memory_advice(self.device_, transform_batch_size=self._tile_size()),
            opened(out, shape) as features,
        ):
            start = 0
            for n, encoding in self._padded(samples):
                features[start : start + n] = self._readouts[self.output].read_tile(n, encoding)
                start += n
        return np.load(out, mmap_mode="r") if is_path(out) else out

    def _features(self, samples: Samples, output: str) -> np.ndarray:
        features = self._readouts[output].read(self._padded(samples))
        if not np.isfinite(features).all():
            raise ValueError(
                "X must hold samples like those of 'fit'. Got some whose features are no finite "
                "numbers: values in them are too large."
            )
        return features

    def _padded(self, samples: Samples) -> Iterator[tuple[int, Encoding]]:
        return encode_padded(
            self.encoder_, samples, self.mean_, self.scale_, self._tile_size(), self.device_
        )

    def _tile_size(self) -> int:
        wanted = self.transform_batch_size or tile_size(self.sample_shape_, self.device_)
        return min(wanted, largest_tile(self.sample_shape_))

    # ---------------------------------------------------------------- score

    def score(self, X, y=None) -> float:
        """Return the probability that a code scores an own local above a stranger's.

        The code of one view is compared with the locals of the other and with those of 127 other
        samples of X (all, if there are fewer), by the critics of the local term, or of the global
        term where that is the only one. Views and strangers are seeded.

        Unlike the loss it does not depend on weights, estimator and scale of the critic, so that
        a search over these can be ranked by it, without labels. It is no accuracy of a classifier.

        Parameters
        ----------
        X : array-like of the kind and sample shape that ``fit`` saw
            Samples held out, two at least.
        y : None
            Ignored.

        Returns
        -------
        score : float
            0.5 at chance and where no critic was trained, 1 at best.
        """
        return self._examine(X).score(self.encoder_, self._objective)

    def score_samples(self, X) -> np.ndarray:
        """Return how surely each sample is told from those of ``fit``, whatever else is in X.

        The probability that its code scores an own local above one of 127 local vectors that were
        kept from ``fit``; without views, so that the mean is higher than `score`. The lowest are
        samples that the critics could take for others.

        Parameters
        ----------
        X : array-like of the kind and sample shape that ``fit`` saw

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            0.5 where no critic was trained.
        """
        check_is_fitted(self)
        self._check_not_trimmed("scoring")
        samples = self._check(X, reset=False)
        if not self._objective.has_critics:
            return np.full(len(samples), 0.5)
        strangers = [torch.from_numpy(vectors).to(self.device_) for vectors in self._strangers]
        scores = [
            score_alone(self._objective, encoding.code, encoding.local_maps, strangers)[:n]
            for n, encoding in self._padded(samples)
        ]
        return torch.cat(scores).cpu().double().numpy()

    def score_terms(self, X) -> dict[str, float]:
        """Return every term of the objective on X, each in its own unit, as in ``history_``.

        Parameters
        ----------
        X : array-like of the kind and sample shape that ``fit`` saw
            Two samples at least.

        Returns
        -------
        terms : dict
            The bounds ``"global"`` and ``"local"`` and the log-likelihood ``"coordinates"`` (higher
            is better) and the encoder's part of the game, ``"prior"`` (lower), where they have a
            weight; means over companies of 128.
        """
        return self._examine(X).score_terms(self.encoder_, self._objective)

    def _examine(self, X) -> HeldOut:
        check_is_fitted(self)
        self._check_not_trimmed("scoring")
        samples = self._check(X, reset=False)
        if len(samples) < 2:
            raise ValueError(
                "X must hold 2 samples at least, so that codes can be compared with a stranger's "
                f"locals. Got {len(samples)} sample."
            )
        return self._held_out(samples)

    def _held_out(self, samples: Samples) -> HeldOut:
        return HeldOut(
            samples,
            mean=self.mean_,
            scale=self.scale_,
            augment=self._recipe.augment,
            n_views=self._recipe.n_views,
            device=self.device_,
        )

    # ------------------------------------------------------------- contract

    def _check(self, X, *, reset: bool) -> Samples:
        """Validate X and return samples of shape (n, *sample_shape_)."""
        source = as_source(X)
        samples = (
            self._check_array(X, reset) if source is None else self._check_source(source, reset)
        )
        if not reset and samples.shape[1:] != self.sample_shape_:
            raise ValueError(
                f"X must hold samples of shape {self.sample_shape_} (channels first), as in fit. "
                f"Got samples of shape {samples.shape[1:]}."
            )
        return samples

    def _check_array(self, X, reset: bool) -> np.ndarray:
        with numbers_wanted():
            X = validate_data(
                self,
                read_array(X),
                dtype=list(DTYPES),
                allow_nd=True,
                reset=reset,
                ensure_min_samples=2 if reset else 1,
            )
        return read_samples(X, self.sample_shape, self.channel_axis)

    def _check_source(self, source: Source, reset: bool) -> StoredSamples:
        """Hold what is known without reading against the contract; each block is checked later."""
        least = 2 if reset else 1
        if source.ndim < 2 or len(source) < least:
            raise ValueError(
                f"X must hold at least {least} samples, each with an axis at least. Got X of shape "
                f"{source.shape}."
            )
        validate_data(self, source, reset=reset, skip_check_array=True)
        return StoredSamples(source, self.sample_shape, self.channel_axis)

    @property
    def _n_features_out(self) -> int:
        return self._readouts[self.output].n_features

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

    def save(self, path) -> None:
        """Write a file that holds numbers and names only, and can run no code when it is read.

        One safetensors file: arrays, and JSON for the rest. A class or function of your own (an
        encoder, views, an estimator) is not in it; hand it to `load`. Nor are requests of metadata
        routing and callbacks of scikit-learn. A file that is there is replaced in one step.

        Parameters
        ----------
        path : path
        """
        check_is_fitted(self)
        plain = self._as_plain()
        kept = STATE.union(self._get_param_names()) - OF_THIS_MACHINE
        state = {name: value for name, value in plain.items() if name in kept}
        for name, value in plain["_ingredients"].items():
            state[name + IN_FIT] = value
        write(path, state)

    @classmethod
    def load(cls, path, **pieces) -> "DIMTransformer":
        """Read a file that `save` wrote.

        Safe with files from strangers: nothing in one is executed, and it is not believed before it
        fits together.

        Parameters
        ----------
        path : path
        **pieces
            Parameters that hold classes or functions of your own, as in the constructor.

        Returns
        -------
        transformer : DIMTransformer
            On the device that the ``device`` parameter names, or the CPU if there is none such.

        Raises
        ------
        skdim.files.FileError
            If it is no file of skdim, or damaged, or a piece is missing; the message says which.

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
        in_fit = {name + IN_FIT: piece for name, piece in pieces.items()}
        state = read(path, {**in_fit, **pieces})
        names = set(cls._get_param_names()) - OF_THIS_MACHINE
        expected = {*names, *(name + IN_FIT for name in INGREDIENTS), *STATE}
        for name in sorted((set(state) | OPTIONAL_STATE) ^ expected):
            raise FileError(f"{path} is no file of skdim: it holds no {name!r}, or should not.")
        transformer = cls()
        try:
            ingredients = {name: state.pop(name + IN_FIT) for name in INGREDIENTS}
            given = {name: state[name] for name in sorted(names)}
            transformer.set_params(**given)._validate_params()
            cls(**{**given, **ingredients})._validate_params()
            check_fitted(state)
            recipe = decide(ingredients, state["sample_shape_"], state.get("feature_names_in_"))
            check_weights(recipe, state["_weights"]["encoder"])
            transformer.__setstate__({**state, "_ingredients": ingredients})
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            IndexError,
            RuntimeError,
            OverflowError,
        ) as error:
            raise FileError(f"{path} does not fit together: {error}") from None
        return transformer

    def export_onnx(self, path, *, dtype="float32") -> None:
        """Write one ONNX graph from raw X to the features of ``output``; see `skdim.onnx_export`.

        Parameters
        ----------
        path : path
        dtype : {"float32", "float64", "uint8"}, default="float32"
            Type of X.
        """
        check_is_fitted(self)
        write_graph(path, self, self.output, dtype)

    def trim(self) -> "DIMTransformer":
        """Forget all that ``transform`` does not need: critics, optimisers, history.

        A trimmed transformer can no longer `score` and cannot go on training, only start afresh.

        Returns
        -------
        self : DIMTransformer
        """
        check_is_fitted(self)
        self._objective = None
        self._training, self._strangers, self.history_ = {}, [], []
        return self

    def to(self, device) -> "DIMTransformer":
        """Move what was fitted to another device; the ``device`` parameter stays as it is.

        Parameters
        ----------
        device : str or torch.device

        Returns
        -------
        self : DIMTransformer
        """
        check_is_fitted(self)
        self.device_ = choose_device(device)
        self.encoder_.to(self.device_)
        if self._objective is not None:
            self._objective.to(self.device_)
        return self

    def _check_not_trimmed(self, purpose: str) -> None:
        if self._objective is None:
            raise ValueError(
                f"This transformer was trimmed: it holds what 'transform' needs, and not what "
                f"{purpose} needs. Fit it again, or take the one that was not trimmed."
            )

    def _as_plain(self) -> dict:
        """Return parameters as they are, and what was learned as plain Python and numpy."""
        state = dict(super().__getstate__())
        if "encoder_" in state:
            parts = {"encoder": state.pop("encoder_"), "objective": state.pop("_objective")}
            weights = {name: part.state_dict() for name, part in parts.items() if part is not None}
            state["_weights"] = as_arrays(weights)
            state["_training"] = as_arrays(state.get("_training", {}))
            state["_readouts"] = {name: r._asdict() for name, r in state["_readouts"].items()}
            state["device_"] = str(state["device_"])
            state["_version"] = __version__
            del state["_recipe"]  # which is made of ingredients
        return state

    def __getstate__(self) -> dict:
        """Plain Python and numpy only: what was fitted on a GPU loads anywhere."""
        state = self._as_plain()
        for parameter in self._get_param_names():
            state[parameter] = refer(state[parameter], parameter)
        if "_ingredients" in state:
            ingredients = state["_ingredients"].items()
            state["_ingredients"] = {name: refer(value, name) for name, value in ingredients}
        return state

    def __setstate__(self, state: dict) -> None:
        weights = as_tensors(state.pop("_weights", {}))
        compare_versions(state.pop("_version", None))
        # Files of earlier versions lack what was not a parameter yet.
        super().__setstate__({**type(self)().get_params(deep=False), **state})
        if weights:
            names = getattr(self, "feature_names_in_", None)
            self._recipe = decide(self._ingredients, self.sample_shape_, names)
            plain = state["_readouts"].items()
            self._readouts = {name: Readout(**parts) for name, parts in plain}
            self._training = as_tensors(self._training)
            self.device_ = _device_for_loading(self.device)
            with torch.random.fork_rng(devices=[]):
                self.encoder_ = self._recipe.build_encoder(self.device_)
                self.encoder_.load_state_dict(weights["encoder"])
                self.encoder_.eval()
                self._objective = None
                if "objective" in weights:  # not trimmed
                    self._objective = self._recipe.build_objective(self.encoder_, self.device_)
                    self._objective.load_state_dict(weights["objective"])
                    self._objective.eval()


def _device_for_loading(device: str | torch.device) -> torch.device:
    try:
        return choose_device(device)
    except ValueError:
        logger.warning("Device %s is not present: the transformer is loaded on the CPU.", device)
        return torch.device("cpu")
