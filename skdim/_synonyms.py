"""Names that other libraries use, and the errors that say what is meant here."""

import functools
import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, TypeVar

# Of each parameter, what users of other libraries may call it.
SYNONYMS = {
    "n_components": (
        "code_dim",
        "code_size",
        "embedding_dim",
        "latent_dim",
        "n_dims",
        "n_features",
        "n_latent",
        "output_dim",
        "output_dimension",
    ),
    "encoder": ("architecture", "backbone", "base_encoder", "model", "module", "net", "network"),
    "encoder_params": ("encoder_kwargs", "model_kwargs", "model_params", "network_params"),
    "output": ("features", "layer", "what"),
    "flip_averaging": ("test_time_augmentation", "tta"),
    "sample_shape": ("image_shape", "image_size", "img_size", "input_dim", "input_shape"),
    "channel_axis": ("channels", "channels_first", "channels_last", "data_format"),
    "column_groups": ("cat_features", "categorical_features"),
    "allow_nan": ("force_all_finite", "missing", "missing_values"),
    "global_weight": ("alpha",),
    "local_weight": ("beta",),
    "prior_weight": ("gamma",),
    "mi_estimator": ("bound", "criterion", "estimator", "loss", "loss_fn", "measure", "objective"),
    "critic": ("projection_head", "projector"),
    "augment": ("augmentation", "augmentations", "data_augmentation", "transform", "transforms"),
    "n_views": ("num_views", "views"),
    "n_crops": ("local_crops_number", "multi_crop"),
    "max_epochs": ("epochs", "iterations", "max_iter", "n_epochs", "n_iter", "num_epochs"),
    "max_time": ("budget", "time_limit", "timeout"),
    "batch_size": ("bs", "minibatch_size"),
    "optimizer": ("optim", "optimiser", "solver"),
    "optimizer_params": ("momentum", "optimizer_kwargs", "weight_decay"),
    "learning_rate": ("base_lr", "eta", "learning_rate_init", "lr", "max_lr", "step_size"),
    "gradient_clip_norm": ("clip_grad", "clip_norm", "grad_clip", "max_grad_norm"),
    "lr_schedule": ("learning_rate_schedule", "lr_scheduler", "schedule", "scheduler"),
    "weight_averaging": ("ema", "swa"),
    "early_stopping": ("early_stop",),
    "validation_fraction": ("val_fraction", "val_size", "validation_size", "validation_split"),
    "n_iter_no_change": ("patience",),
    "tol": ("min_delta",),
    "checkpoint": ("checkpoint_dir", "checkpoint_path", "ckpt", "resume"),
    "distributed": ("ddp",),
    "device": ("accelerator", "cuda", "gpu", "use_cuda", "use_gpu"),
    "precision": ("amp", "dtype", "fp16", "mixed_precision"),
    "transform_batch_size": ("inference_batch_size", "predict_batch_size"),
    "random_state": ("manual_seed", "random_seed", "rng", "seed"),
    "verbose": ("progress", "progress_bar", "show_progress"),
    "transformer": ("base_estimator", "encoder", "estimator"),
}

# What a device may be called, and what torch calls it.
DEVICES = {"gpu": "cuda", "nvidia": "cuda", "rocm": "cuda", "metal": "mps", "apple": "mps"}

# How to read the file that a path names, by its suffix.
READERS = {
    ".npy": "numpy.load({path}, mmap_mode='r')",
    ".npz": "numpy.load({path})['name of the array']",
    ".csv": "pandas.read_csv({path})",
    ".tsv": "pandas.read_csv({path}, sep='\\t')",
    ".parquet": "pandas.read_parquet({path})",
    ".h5": "h5py.File({path})['name of the array']",
    ".hdf5": "h5py.File({path})['name of the array']",
    ".zarr": "zarr.open({path}, mode='r')",
    ".pt": "torch.load({path})",
}

Constructor = TypeVar("Constructor", bound=Callable[..., None])


def known_names_only(constructor: Constructor) -> Constructor:
    """Return the constructor, which now says what a parameter is called that it does not know."""
    names = list(inspect.signature(constructor).parameters)[1:]

    @functools.wraps(constructor)  # scikit-learn reads the names of the parameters through it
    def checked(self: Any, *args: Any, **params: Any) -> None:
        for name in params:
            if name not in names:
                kind = type(self).__name__
                raise TypeError(f"{kind} has no parameter {name!r}.{suggest(name, names)}")
        constructor(self, *args, **params)

    return checked  # type: ignore[return-value]  # of the same signature


def suggest(name: str, names: Iterable[str]) -> str:
    """Return the sentence that names the parameter that was meant, or none."""
    meant = [known for known in names if name in SYNONYMS.get(known, ())]
    meant = meant or get_close_matches(name, names, n=1)
    return f" Did you mean {meant[0]!r}?" if meant else ""


def suggest_device(device: Any) -> str:
    """Return the sentence that gives torch's name of a device, or none."""
    name, colon, number = str(device).lower().partition(":")
    return f". Did you mean {DEVICES[name] + colon + number!r}?" if name in DEVICES else ""
