"""What DIM is compared with: other methods on the same encoder, by name, and other features."""

from benchmarks.baselines.base import Baseline
from benchmarks.baselines.bigan import BiGAN
from benchmarks.baselines.nat import NAT
from benchmarks.baselines.reconstruction import AAE, AE, VAE, BetaVAE
from benchmarks.baselines.simclr import SimCLR
from benchmarks.baselines.supervised import Supervised

BASELINES: dict[str, type[Baseline]] = {
    "supervised": Supervised,
    "ae": AE,
    "vae": VAE,
    "beta_vae": BetaVAE,
    "aae": AAE,
    "bigan": BiGAN,
    "nat": NAT,
    "simclr": SimCLR,
}
