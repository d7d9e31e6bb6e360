"""Methods that reconstruct images from codes: AE, VAE, beta-VAE, AAE."""

from torch import Tensor, nn

from benchmarks.baselines.base import Baseline, Objective, Task, Updates
from benchmarks.baselines.networks import Generator
from skdim.encoders import encode
from skdim.priors import Discriminator, discriminator_loss, encoder_loss, normal


class Reconstruction(Objective):
    """Mean square error of a decoder; predicting the mean of each channel would give 1."""

    def __init__(self, task: Task):
        super().__init__()
        self.decoder = Generator(task.n_code, task.sample_shape, task.scale)

    def forward(self, encoder, x, indices, generator) -> Updates:
        """Yield the encoder's update."""
        code = encode(encoder, x).code
        yield "encoder", {"reconstruction": square_error(self.decoder(code), x)}


class Variational(Reconstruction):
    r"""Negative evidence lower bound for d pixel values of unit variance each.

    .. math:: \frac{1}{d} E\,\|x - g(z)\|^2 + \frac{2 \beta}{d} \mathrm{KL}, \quad
        z \sim N(\mu, \sigma^2)

    This is twice the bound, divided by the number of pixel values. The code is the mean; a linear
    layer next to the encoder's last one gives the variance.

    Parameters
    ----------
    task : Task
    beta : float, default=1.0
        Below 1 codes keep more of the image, above 1 they are nearer to the prior.
    """

    def __init__(self, task: Task, beta: float = 1.0):
        super().__init__(task)
        self.log_variance = nn.Linear(task.n_hidden, task.n_code)
        self.beta = beta

    def forward(self, encoder, x, indices, generator) -> Updates:
        """Yield the encoder's update."""
        mean, hidden, *_ = encode(encoder, x)
        mean, log_variance = mean.float(), self.log_variance(hidden).float()
        z = mean + (log_variance / 2).exp() * normal(mean.shape, generator)
        divergence = divergence_from_normal(mean, log_variance) / x[0].numel()
        reconstruction = square_error(self.decoder(z), x)
        yield "encoder", {"reconstruction": reconstruction, "kl": 2 * self.beta * divergence}


class MilderVariational(Variational):
    """The same with less weight on the divergence, by default."""

    def __init__(self, task: Task, beta: float = 0.5):
        super().__init__(task, beta)


class Adversarial(Reconstruction):
    """Reconstruction, and codes that a discriminator cannot distinguish from a standard normal.

    Parameters
    ----------
    task : Task
    prior_weight : float, default=0.1
        Weight of the encoder's adversarial loss. If that loss is as large as the reconstruction
        error, codes circle around the prior instead of coming closer to it.
    """

    def __init__(self, task: Task, prior_weight: float = 0.1):
        super().__init__(task)
        self.discriminator = Discriminator(task.n_code)
        self.prior_weight = prior_weight

    def forward(self, encoder, x, indices, generator) -> Updates:
        """Yield the discriminator's update, then the encoder's."""
        code = encode(encoder, x).code
        real = self.discriminator(normal(code.shape, generator)).float()
        fake = self.discriminator(code.detach()).float()
        yield "discriminator", {"discriminator": discriminator_loss(real, fake)}
        reconstruction = square_error(self.decoder(code), x)
        deception = encoder_loss(self.discriminator(code).float())
        yield (
            "encoder",
            {"reconstruction": reconstruction, "prior": self.prior_weight * deception},
        )


class AE(Baseline):
    """Autoencoder; see `Reconstruction` and, for parameters, `Baseline`."""

    objective = Reconstruction


class VAE(Baseline):
    """Variational autoencoder; see `Variational` and, for parameters, `Baseline`.

    References
    ----------
    Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014.
    """

    objective = Variational


class BetaVAE(Baseline):
    """The same with beta = 0.5; ``objective_params={"beta": ...}`` sets another.

    References
    ----------
    Higgins et al., "beta-VAE: learning basic visual concepts with a constrained variational
    framework", ICLR 2017.
    """

    objective = MilderVariational


class AAE(Baseline):
    """Adversarial autoencoder; see `Adversarial` and, for parameters, `Baseline`.

    References
    ----------
    Makhzani et al., "Adversarial autoencoders", 2015.
    """

    objective = Adversarial


def square_error(made: Tensor, x: Tensor) -> Tensor:
    """Mean over samples and values of (made - x)^2."""
    return (made - x).square().mean()


def divergence_from_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""Mean over samples of the KL divergence of N(mean, variance) from N(0, 1), in nats.

    .. math:: \frac{1}{2} \sum_j \mu_j^2 + \sigma_j^2 - \log \sigma_j^2 - 1

    Parameters
    ----------
    mean, log_variance : Tensor of shape (n, n_code)
    """
    return (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean() / 2
