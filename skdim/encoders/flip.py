"""Test-time flip averaging: features are averaged over a sample and its flipped copy."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from skdim.encoders.contract import Encoding, adapt


class FlipAverage(nn.Module):
    """Average codes, hidden layer and fixed features over a sample and its flipped copy.

    The last axis is flipped. Local maps are not averaged, and in training mode nothing is.
    """

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def adapt(self, samples: Tensor) -> None:
        """Call the encoder's method ``adapt``, if it has one, with samples (n, *sample_shape)."""
        adapt(self.encoder, samples)

    def fixed_features(self, x: Tensor) -> Tensor:
        """Average the encoder's fixed features, if it has any, of samples and flipped copies."""
        if not hasattr(self.encoder, "fixed_features"):
            return x.new_zeros(len(x), 0)
        compute: Callable[[Tensor], Tensor] = self.encoder.fixed_features  # type: ignore[assignment]
        return _mean(compute(x), compute(x.flip(-1)))

    def forward(self, x: Tensor) -> Encoding:
        """Encode samples of shape (n, channels, *sides)."""
        encoding = Encoding(*self.encoder(x))
        if self.training:
            return encoding
        flipped = Encoding(*self.encoder(x.flip(-1)))
        averaged: dict[str, Any] = {
            name: _mean(getattr(encoding, name), getattr(flipped, name))
            for name in ("code", "hidden", "global_codes")
            if getattr(encoding, name) is not None
        }
        return encoding._replace(**averaged)


def _mean(a: Tensor, b: Tensor) -> Tensor:
    return (a + b) / 2
