"""Test-time flip averaging: features are averaged over a sample and its flipped copy."""

from typing import Any

from torch import Tensor, nn

from skdim.encoders.contract import Encoding, adapt, add_fixed


class FlipAverage(nn.Module):
    """Average code, hidden layer and fixed features over a sample and its flipped copy.

    The last axis is flipped. Local maps are not averaged, and in training mode nothing is.
    """

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def adapt(self, samples: Tensor) -> None:
        """Call the encoder's method ``adapt``, if it has one, with samples (n, *sample_shape)."""
        adapt(self.encoder, samples)

    def forward(self, x: Tensor) -> Encoding:
        """Encode samples of shape (n, channels, *sides)."""
        encoding = Encoding(*self.encoder(x))
        if self.training:
            return encoding
        encoding = add_fixed(self.encoder, x, encoding)
        flipped = add_fixed(self.encoder, x.flip(-1), Encoding(*self.encoder(x.flip(-1))))
        return encoding._replace(
            code=_mean(encoding.code, flipped.code),
            hidden=_mean(encoding.hidden, flipped.hidden),
            fixed=_mean(encoding.fixed, flipped.fixed),
        )


def _mean(a: Tensor | None, b: Tensor | None) -> Any:
    return None if a is None or b is None else (a + b) / 2
