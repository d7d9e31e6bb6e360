"""Measures of features, as in the Deep InfoMax paper: functions of arrays, and scorers.

They measure the accuracy of classifiers on features, the quality of reconstructions from features,
the mutual information of samples and features, and the dependence between features. Nearest
neighbours show which samples features take for similar.
"""

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
from skdim.evaluation.unsupervised import (
    alpha_req,
    effective_rank_scorer,
    few_labels_scorer,
    lidar,
    neighbor_overlap,
    neighbor_overlap_scorer,
    shared_dimension,
    shared_dimension_scorer,
    view_agreement,
    view_agreement_scorer,
    view_nearest_neighbor,
    view_nearest_neighbor_scorer,
    view_retrieval,
    view_retrieval_scorer,
)
from skdim.spectra import effective_rank

__all__ = [
    "ProbeClassifier",
    "alpha_req",
    "dependence",
    "effective_rank",
    "effective_rank_scorer",
    "few_labels_scorer",
    "lidar",
    "mine",
    "mine_scorer",
    "ms_ssim",
    "nearest_neighbors",
    "neg_dependence_scorer",
    "neighbor_overlap",
    "neighbor_overlap_scorer",
    "reconstruct",
    "reconstruction_similarity",
    "shared_dimension",
    "shared_dimension_scorer",
    "ssim",
    "svm_accuracy",
    "view_agreement",
    "view_agreement_scorer",
    "view_nearest_neighbor",
    "view_nearest_neighbor_scorer",
    "view_retrieval",
    "view_retrieval_scorer",
]
