"""Test-time flip averaging: features are averaged over a sample and its flipped copy."""

from torch import Tensor, nn

from skdim.encoders.contract import Encoding, adapt


class FlipAverage(nn.Module):
    """Average code and hidden layer over a sample and its flipped copy, in evaluation mode.

    The last axis is flipped. Local maps, and all outputs in training mode, are those of the encoder
    itself.

    Parameters
    ----------
    encoder : nn.Module
        An encoder of images or volumes.
    """

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def adapt(self, samples: Tensor) -> None:
        """Adapt the encoder to samples of shape (n, *sample_shape), if it has such a method."""
        adapt(self.encoder, samples)

    def forward(self, x: Tensor) -> Encoding:
        """Encode samples of shape (n, channels, *sides)."""
        encoding = Encoding(*self.encoder(x))
        if self.training:
            return encoding
        flipped = Encoding(*self.encoder(x.flip(-1)))
        return encoding._replace(
            code=(encoding.code + flipped.code) / 2, hidden=(encoding.hidden + flipped.hidden) / 2
        )
