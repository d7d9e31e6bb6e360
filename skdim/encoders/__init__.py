"""Encoders map a batch of samples to codes and local maps.

An encoder is an ``nn.Module`` class built as ``Encoder(sample_shape, n_components,
**encoder_params)`` and called on a batch of shape (n, *sample_shape), channels first. It returns
an `Encoding`. To add an encoder, list it in `ENCODERS`; its name is then a valid ``encoder``. To
make it the default of a modality, name it in a row of `skdim.modalities`. `tap` turns an existing
network into an encoder.
"""

from torch import nn

from skdim.encoders.contract import (
    Encoding,
    adapt,
    add_fixed,
    encode,
    evaluating,
    fixed_features,
    has_adapt,
)
from skdim.encoders.convolutional import ConvEncoder, ResidualEncoder
from skdim.encoders.flip import FlipAverage
from skdim.encoders.paper import (
    Paper28,
    Paper32,
    Paper64,
    PaperAlexNet64,
    PaperCropsAlexNet64,
    PaperCropsResNet19,
    PaperGlobalsAlexNet64,
    PaperGlobalsResNet19,
    PaperResNet19,
    PaperResNet34,
)
from skdim.encoders.rows import MLPEncoder
from skdim.encoders.signals import SignalEncoder
from skdim.encoders.spectrogram import SpectrogramEncoder
from skdim.encoders.tap import tap

ENCODERS: dict[str, type[nn.Module]] = {
    "mlp": MLPEncoder,
    "signal": SignalEncoder,
    "spectrogram": SpectrogramEncoder,
    "conv": ConvEncoder,
    "resnet": ResidualEncoder,
    "paper28": Paper28,
    "paper32": Paper32,
    "paper64": Paper64,
    "paper_alexnet64": PaperAlexNet64,
    "paper_resnet19": PaperResNet19,
    "paper_resnet34": PaperResNet34,
    "paper_crops_alexnet64": PaperCropsAlexNet64,
    "paper_crops_resnet19": PaperCropsResNet19,
    "paper_globals_alexnet64": PaperGlobalsAlexNet64,
    "paper_globals_resnet19": PaperGlobalsResNet19,
}

__all__ = [
    "ENCODERS",
    "Encoding",
    "FlipAverage",
    "adapt",
    "add_fixed",
    "encode",
    "evaluating",
    "fixed_features",
    "has_adapt",
    "tap",
]
