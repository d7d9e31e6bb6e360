"""BiGAN: an encoder and a generator that make pairs which nobody can tell apart."""

from baselines.base import Baseline, Objective, Task, Turns
from baselines.networks import Generator, PairDiscriminator
from skdim.encoders import encode
from skdim.priors import discriminator_loss, encoder_loss, normal


class PairGame(Objective):
    """Pairs (x, code of x) against pairs (image from z, z), z standard normal.

    The discriminator holds the former for real; encoder and generator learn to deceive it, the
    one about the former and the other about the latter.
    """

    def __init__(self, task: Task):
        super().__init__()
        self.generator = Generator(task.n_code, task.sample_shape, task.scale)
        self.discriminator = PairDiscriminator(task.n_code, task.sample_shape, task.scale)

    def forward(self, encoder, x, rows, generator) -> Turns:
        """Yield the discriminator's turn, then that of encoder and generator."""
        code = encode(encoder, x).code
        z = normal(code.shape, generator)
        made = self.generator(z)
        real, fake = self.discriminator(x, code.detach()), self.discriminator(made.detach(), z)
        yield "discriminator", {"discriminator": discriminator_loss(real, fake)}
        real, fake = self.discriminator(x, code), self.discriminator(made, z)
        yield "encoder", {"encoder": encoder_loss(-real), "generator": encoder_loss(fake)}


class BiGAN(Baseline):
    """Adversarially learned inference; see `PairGame` and, for parameters, `Baseline`.

    References
    ----------
    Donahue et al., "Adversarial feature learning", ICLR 2017.
    """

    objective = PairGame
