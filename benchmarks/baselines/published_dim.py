"""DIM(L) as its authors' code computes a step, re-created in plain PyTorch for current versions.

Eager, float32, images channels first, a DataLoader over a TensorDataset; encoder and critic of the
paper's CIFAR-10 experiments; one Adam for each network; every pair of a batch scored at once, and
positives picked from all pairs by a mask. Departures, which the original code does not survive on
a current torch: byte masks are boolean, the filling of self pairs for infoNCE keeps its -10. The
training loop is written out here on purpose: its speed is what skdim is compared with.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset


class Encoder(nn.Module):
    """Three convolutions of stride 2, 1024 units, a code of 64; local features 128 x 8 x 8."""

    def __init__(self, n_code: int = 64):
        super().__init__()
        self.to_local_features = nn.Sequential(*_convolve(3, 64), *_convolve(64, 128))
        self.to_code = nn.Sequential(
            *_convolve(128, 256),
            nn.Flatten(),
            nn.Linear(4096, 1024, bias=False),
            nn.BatchNorm1d(1024),
            nn.ReLU(),
            nn.Linear(1024, n_code),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (n, n_code) and local maps of images (n, 3, 32, 32)."""
        local_map = self.to_local_features(images)  # (n, 128, 8, 8)
        return self.to_code(local_map), local_map


class Embedding(nn.Module):
    """1x1 convolutions, W2 relu(BN(W1 x)) + S x, then layer normalisation over channels."""

    def __init__(self, n_in: int, width: int):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(n_in, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
        )
        self.shortcut = nn.Conv2d(n_in, width, 1, bias=False)
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """From (n, n_in, height, width) to (n, width, height, width)."""
        h = self.block(x) + self.shortcut(x)
        return self.layer_norm(h.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _convolve(n_in: int, n_out: int) -> list[nn.Module]:
    return [nn.Conv2d(n_in, n_out, 4, 2, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]


def score_all(local_features: Tensor, codes: Tensor) -> Tensor:
    """From (n, width, n_locations) and (n, width) to scores (n codes, n samples, n_locations)."""
    n, width, n_locations = local_features.shape
    vectors = local_features.permute(0, 2, 1).reshape(-1, width)
    return torch.mm(codes, vectors.t()).reshape(n, n, n_locations)


def jsd_loss(local_features: Tensor, codes: Tensor) -> Tensor:
    """Compute both expectations for every pair; masks select the one that applies."""
    scores = score_all(local_features, codes)
    positives = torch.eye(len(scores), device=scores.device)
    positive = (math.log(2) - functional.softplus(-scores)).mean(2)
    negative = (functional.softplus(-scores) + scores - math.log(2)).mean(2)
    negatives = 1 - positives
    mean_negative = (negative * negatives).sum() / negatives.sum()
    return mean_negative - (positive * positives).sum() / positives.sum()


def infonce_loss(local_features: Tensor, codes: Tensor) -> Tensor:
    """Compare each local vector with those of all other samples: n * n_locations candidates."""
    n, _, n_locations = local_features.shape
    positive = torch.einsum("nwl,nw->nl", local_features, codes).unsqueeze(2)  # (n, n_locations, 1)
    positives = torch.eye(n, device=codes.device)[:, :, None]
    scores = score_all(local_features, codes)
    negative = scores * (1 - positives) - 10 * positives
    negative = negative.reshape(n, 1, n * n_locations).expand(-1, n_locations, -1)
    candidates = torch.cat([positive, negative], 2)  # (n, n_locations, 1 + n * n_locations)
    return -functional.log_softmax(candidates, 2)[:, :, 0].mean()


LOSSES = {"jsd": jsd_loss, "infonce": infonce_loss}


class PublishedDIM:
    """Train it on images of shape (n, 3, 32, 32), float32, standardised.

    Parameters
    ----------
    loss : {"jsd", "infonce"}
    batch_size : int
    width : int
    seed : int
    device : str
    """

    def __init__(self, loss="jsd", batch_size=64, width=2048, seed=0, device="cpu"):
        torch.manual_seed(seed)
        self.loss = LOSSES[loss]
        self.batch_size = batch_size
        self.device = device
        self.encoder = Encoder().to(device)
        self.local_embedding = Embedding(128, width).to(device)
        self.code_embedding = Embedding(64, width).to(device)
        networks = (self.encoder, self.local_embedding, self.code_embedding)
        self.optimizers = [
            torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.5, 0.999))
            for network in networks
        ]

    def train_epoch(self, images: Tensor) -> float:
        """Train for one epoch; return the mean loss."""
        loader = DataLoader(
            TensorDataset(images), batch_size=self.batch_size, shuffle=True, drop_last=True
        )
        self.encoder.train()
        losses = []
        for (batch,) in loader:
            code, local_map = self.encoder(batch.to(self.device))
            local_features = self.local_embedding(local_map).flatten(2)
            codes = self.code_embedding(code[:, :, None, None])[:, :, 0, 0]
            loss = self.loss(local_features, codes)
            for optimizer in self.optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in self.optimizers:
                optimizer.step()
            losses.append(loss.item())
        return sum(losses) / len(losses)

    @torch.no_grad()
    def transform(self, images: Tensor):
        """Codes of shape (n, 64)."""
        self.encoder.eval()
        codes = [self.encoder(part.to(self.device))[0].cpu() for part in images.split(512)]
        return torch.cat(codes).numpy()

    @torch.no_grad()
    def hidden_units(self, images: Tensor):
        """The layer before the code, of shape (n, 1024)."""
        self.encoder.eval()
        to_hidden = self.encoder.to_code[:-1]
        parts = (part.to(self.device) for part in images.split(512))
        return torch.cat(
            [to_hidden(self.encoder.to_local_features(x)).cpu() for x in parts]
        ).numpy()
