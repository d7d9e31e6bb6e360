"""BiGAN: an encoder and a generator, whose pairs a discriminator cannot distinguish."""

from benchmarks.baselines.base import Baseline, Objective, Task, Updates
from benchmarks.baselines.networks import Generator, PairDiscriminator
from skdim.encoders import encode
from skdim.priors import discriminator_loss, encoder_loss, normal


class AdversarialPairs(Objective):
    """Pairs (x, code of x) against pairs (image from z, z), z standard normal.

    The discriminator learns to classify the former as real and the latter as fake. The encoder is
    trained to have the former classified as fake, the generator to have the latter classified as
    real.
    """

    def __init__(self, task: Task):
        super().__init__()
        self.generator = Generator(task.n_code, task.sample_shape, task.scale)
        self.discriminator = PairDiscriminator(task.n_code, task.sample_shape, task.scale)

    def forward(self, encoder, x, indices, generator) -> Updates:
        """Yield the discriminator's update, then that of encoder and generator."""
        code = encode(encoder, x).code
        z = normal(code.shape, generator)
        made = self.generator(z)
        real, fake = self.discriminator(x, code.detach()), self.discriminator(made.detach(), z)
        yield "discriminator", {"discriminator": discriminator_loss(real, fake)}
        real, fake = self.discriminator(x, code), self.discriminator(made, z)
        yield "encoder", {"encoder": encoder_loss(-real), "generator": encoder_loss(fake)}


class BiGAN(Baseline):
    """Adversarially learned inference; see `AdversarialPairs` and, for parameters, `Baseline`.

    References
    ----------
    Donahue et al., "Adversarial feature learning", ICLR 2017.
    """

    objective = AdversarialPairs
