"""What DIM is compared with: other methods on its encoder, by name, and features of other kinds."""

from baselines.base import Baseline
from baselines.bigan import BiGAN
from baselines.nat import NAT
from baselines.reconstruction import AAE, AE, VAE, BetaVAE
from baselines.supervised import Supervised

BASELINES: dict[str, type[Baseline]] = {
    "supervised": Supervised,
    "ae": AE,
    "vae": VAE,
    "beta_vae": BetaVAE,
    "aae": AAE,
    "bigan": BiGAN,
    "nat": NAT,
}
