"""What a fit has learned, in one object that encodes, scores, moves and can be saved."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skdim._files.conversion import as_arrays, as_tensors, as_writable
from skdim._model.config import ModelConfig, resolve
from skdim._model.inference import EncodedBatches, choose_batch_size, concatenate, encode_padded
from skdim._model.readout import Readout, check_finite
from skdim._model.scoring import HeldOut, score_single
from skdim._runtime.seeding import float32_by_default, seeded_globally
from skdim._version import __version__, compare_versions
from skdim.augmentation import Augmentation, make_views
from skdim.encoders import encode
from skdim.objective import DIMObjective
from skdim.sources.layout import Layout
from skdim.sources.standardization import Standardization
from skdim.sources.stored import Samples, take_subset

# Number of samples whose views are made at once, as in a batch of training, so that features of
# views do not depend on how many are encoded at once.
N_AUGMENTED = 128


@dataclass
class FittedModel:
    """What `DIMTransformer.fit` has learned; complete from the moment it exists.

    Attributes
    ----------
    config : ModelConfig
        Encoder and objective are built from it.
    precision : str
        Precision of training.
    standardization : Standardization
        How samples are standardised, and on which device.
    encoder : nn.Module
        In evaluation mode, on the device.
    objective : DIMObjective or None
        In evaluation mode, on the device; None after the model was trimmed.
    readouts : dict of str to Readout
        How each output is read from encodings.
    negatives : list of ndarray of shape (n_negatives, n_channels)
        Local vectors of some samples of ``fit``, for `score_samples`.
    history : list of dict
        One dict for each epoch.
    n_iter : int
        Number of epochs trained.
    best_epoch : int or None
        The epoch whose weights early stopping took.
    training_state : dict
        States of the optimisers and the generator of ``partial_fit``.
    """

    config: ModelConfig
    precision: str
    standardization: Standardization
    encoder: nn.Module
    objective: DIMObjective | None
    readouts: dict[str, Readout]
    negatives: list[np.ndarray]
    history: list[dict]
    n_iter: int
    best_epoch: int | None = None
    training_state: dict[str, Any] = field(default_factory=dict)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of a sample, channels first."""
        return self.config.sample_shape

    @property
    def device(self) -> torch.device:
        """Where encoder and objective are."""
        return self.standardization.device

    @property
    def mean(self) -> np.ndarray:
        """Mean of each channel."""
        return self.standardization.mean

    @property
    def scale(self) -> np.ndarray:
        """Scale of each channel."""
        return self.standardization.scale

    @property
    def is_trimmed(self) -> bool:
        """Whether it holds only what features need."""
        return self.objective is None

    def check_not_trimmed(self, purpose: str) -> DIMObjective:
        """Return the objective; raise ValueError if the model was trimmed."""
        if self.objective is None:
            raise ValueError(
                f"This transformer was trimmed: it holds what 'transform' needs, and not what "
                f"{purpose} needs. Fit it again, or use the one that was not trimmed."
            )
        return self.objective

    def check_sample_shape(self, samples: Samples) -> None:
        """Raise ValueError if samples have another shape than those of ``fit``."""
        if samples.shape[1:] != self.sample_shape:
            raise ValueError(
                f"X must hold samples of shape {self.sample_shape} (channels first), as in fit. "
                f"Got samples of shape {samples.shape[1:]}."
            )

    # ------------------------------------------------------------ features

    def batch_size(self, wanted: int | None = None) -> int:
        """Number of samples that are encoded at once; None leaves it to the device."""
        return choose_batch_size(wanted, self.encoder, self.sample_shape, self.device)

    def encode(
        self, samples: Samples, batch_size: int | None = None, *, with_fixed: bool = False
    ) -> EncodedBatches:
        """Encode samples (n, *sample_shape) in padded batches; fixed features only if wanted."""
        return encode_padded(
            self.encoder,
            samples,
            self.standardization,
            self.batch_size(batch_size),
            with_fixed=with_fixed,
        )

    def encode_all(self, samples: Samples) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Codes (n, n_code) and local maps (n, n_locations, n_channels) of a few samples."""
        return concatenate(self.encode(samples))

    def features(self, samples: Samples, output: str, batch_size: int | None = None) -> np.ndarray:
        """Return one output of samples: (n, n_features), float32.

        Raises
        ------
        ValueError
            If features are not finite.
        """
        readout = self.readouts[output]
        return readout.read(self.encode(samples, batch_size, with_fixed=readout.has_fixed))

    def write_features(
        self, samples: Samples, output: str, out: Any, batch_size: int | None = None
    ) -> None:
        """Write one output of samples to ``out[start:stop]``, a batch at a time."""
        start, readout = 0, self.readouts[output]
        for n, encoding in self.encode(samples, batch_size, with_fixed=readout.has_fixed):
            out[start : start + n] = readout.features_of_batch(n, encoding)
            start += n

    def features_of_views(
        self,
        samples: Samples,
        output: str,
        augment: Augmentation | str | None,
        n_views: int,
        max_samples: int | None,
        rng: np.random.RandomState,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Return one output of random views of samples: (n_views, n, n_features), float32."""
        if max_samples is not None:
            chosen = rng.permutation(len(samples))[:max_samples]
            samples = take_subset(samples, np.sort(chosen))
        if isinstance(augment, str):  # "auto", whatever views the encoder was trained on
            augment = self.config.modality.augment
        readout, size = self.readouts[output], self.batch_size(batch_size)
        generator = torch.Generator(self.device).manual_seed(int(rng.randint(2**31 - 1)))
        features = []
        for start in range(0, len(samples), N_AUGMENTED):
            with torch.inference_mode():
                batch = self.standardization(samples[start : start + N_AUGMENTED])
                views = make_views(batch, augment, generator, n_views)  # (n_views, n, ...)
                parts = views.flatten(0, 1).split(size)
                encodings = (encode(self.encoder, p, with_fixed=readout.has_fixed) for p in parts)
                read = [
                    readout.features_of_batch(len(p), e)
                    for p, e in zip(parts, encodings, strict=True)
                ]
            features.append(np.concatenate(read).reshape(n_views, len(batch), -1))
        return np.concatenate(features, axis=1)

    # ------------------------------------------------------------ scores

    def held_out(self, samples: Samples) -> HeldOut:
        """At least two samples, in evaluation batches.

        Raises
        ------
        ValueError
            If there is only one sample.
        """
        if len(samples) < 2:
            raise ValueError(
                "X must hold at least 2 samples, so that each has negatives to be compared with. "
                f"Got {len(samples)} sample."
            )
        return HeldOut(samples, self.config, self.standardization)

    def score(self, samples: Samples) -> float:
        """Return the mean retrieval of samples; see `DIMTransformer.score`."""
        objective = self.check_not_trimmed("scoring")
        with float32_by_default():
            return self.held_out(samples).score(self.encoder, objective)

    def score_terms(self, samples: Samples) -> dict[str, float]:
        """Return every term of the objective; see `DIMTransformer.score_terms`."""
        objective = self.check_not_trimmed("scoring")
        with float32_by_default():
            return self.held_out(samples).score_terms(self.encoder, objective)

    def score_samples(self, samples: Samples, batch_size: int | None = None) -> np.ndarray:
        """Return the retrieval of each sample, (n,); see `DIMTransformer.score_samples`."""
        objective = self.check_not_trimmed("scoring")
        if not objective.config.has_critics:
            return np.full(len(samples), 0.5)
        negatives = [torch.from_numpy(vectors).to(self.device) for vectors in self.negatives]
        scores = []
        for n, encoding in self.encode(samples, batch_size):
            check_finite(encoding.code[:n].cpu().numpy())
            scores.append(
                score_single(objective, encoding.code, encoding.local_maps, negatives)[:n]
            )
        return torch.cat(scores).cpu().double().numpy()

    # ------------------------------------------------------------ device and content

    def to(self, device: torch.device) -> None:
        """Move encoder and objective to another device."""
        self.standardization = replace(self.standardization, device=device)
        self.encoder.to(device)
        if self.objective is not None:
            self.objective.to(device)

    def trim(self) -> None:
        """Forget everything that features do not need."""
        self.objective = None
        self.training_state, self.negatives, self.history = {}, [], []

    # ------------------------------------------------------------ plain state

    def state(self) -> dict[str, Any]:
        """Everything as plain Python and numpy, except custom objects in ``params``."""
        modules = {"encoder": self.encoder, "objective": self.objective}
        weights = {name: part.state_dict() for name, part in modules.items() if part is not None}
        return {
            "version": __version__,
            "layout": asdict(self.config.layout),
            "given": dict(self.config.params),
            "device": str(self.device),
            "precision": self.precision,
            "mean": self.mean,
            "scale": self.scale,
            "weights": as_arrays(weights),
            "readouts": {name: readout._asdict() for name, readout in self.readouts.items()},
            "negatives": self.negatives,
            "history": self.history,
            "n_iter": self.n_iter,
            "best_epoch": self.best_epoch,
            "training_state": as_arrays(self.training_state),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], device: torch.device) -> "FittedModel":
        """Build the model of a `state`, on a device.

        Warns
        -----
        VersionWarning
            If another version of skdim wrote it.
        """
        compare_versions(state["version"])
        state = as_writable(dict(state))
        config = resolve(state["given"], Layout(**state["layout"]))
        weights = as_tensors(state["weights"])
        objective = None
        with seeded_globally(0, torch.device("cpu")):  # weights are drawn, and replaced
            encoder = config.build_encoder(device)
            encoder.load_state_dict(weights["encoder"])
            if "objective" in weights:
                objective = config.build_objective(encoder, device)
                objective.load_state_dict(weights["objective"])
                objective.eval()
        return cls(
            config=config,
            precision=state["precision"],
            standardization=Standardization(state["mean"], state["scale"], device),
            encoder=encoder.eval(),
            objective=objective,
            readouts={name: Readout(**parts) for name, parts in state["readouts"].items()},
            negatives=state["negatives"],
            history=state["history"],
            n_iter=state["n_iter"],
            best_epoch=state["best_epoch"],
            training_state=as_tensors(state["training_state"]),
        )
