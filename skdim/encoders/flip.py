"""An encoder whose features are those of a sample and of its flip_averaging image, averaged."""

from torch import Tensor, nn

from skdim.encoders.contract import Encoding, adapt


class FlipAverage(nn.Module):
    """Average code and hidden layer over a sample and its flip_averaging image, in evaluation mode.

    In training the encoder is as it was; local maps always are.

    Parameters
    ----------
    encoder : nn.Module
        Of images or volumes.
    """

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def adapt(self, samples: Tensor) -> None:
        """Show the encoder samples of shape (n, *sample_shape)."""
        adapt(self.encoder, samples)

    def forward(self, x: Tensor) -> Encoding:
        """Encode samples of shape (n, channels, *sides)."""
        encoding = Encoding(*self.encoder(x))
        if self.training:
            return encoding
        mirrored = Encoding(*self.encoder(x.flip(-1)))
        return encoding._replace(
            code=(encoding.code + mirrored.code) / 2, hidden=(encoding.hidden + mirrored.hidden) / 2
        )
