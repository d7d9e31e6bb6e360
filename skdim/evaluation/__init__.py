"""Measures of features as Deep InfoMax reports them: functions of arrays, and scorers.

What a classifier makes of them, what can be rebuilt from them, how much they tell of the samples,
how independent they are, and which samples lie close to each other.
"""

from skdim._utils.spectra import effective_rank
from skdim.evaluation.information import (
    dependence,
    mine,
    mine_scorer,
    neg_dependence_scorer,
)
from skdim.evaluation.neighbors import nearest_neighbors
from skdim.evaluation.probes import ProbeClassifier, svm_accuracy
from skdim.evaluation.reconstruction import (
    ms_ssim,
    reconstruct,
    reconstruction_similarity,
    ssim,
)
from skdim.evaluation.unsupervised import effective_rank_scorer

__all__ = [
    "ProbeClassifier",
    "dependence",
    "effective_rank",
    "effective_rank_scorer",
    "mine",
    "mine_scorer",
    "ms_ssim",
    "nearest_neighbors",
    "neg_dependence_scorer",
    "reconstruct",
    "reconstruction_similarity",
    "ssim",
    "svm_accuracy",
]
