"""Measures of features: functions of arrays, and scorers for a search.

* Choosing settings without labels: `view_agreement` and its parts `view_retrieval`,
  `neighbor_overlap` and `shared_dimension`; `view_nearest_neighbor`.
* Choosing settings with a few labels: `few_labels_scorer`.
* Published measures, for comparison: `effective_rank`, `lidar`, `alpha_req`.
* The samples that features treat as similar: `nearest_neighbors`.

A function with the suffix ``_scorer`` may be passed as ``scoring``.
"""

from skdim.evaluation.neighbors import nearest_neighbors
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
    "alpha_req",
    "effective_rank",
    "effective_rank_scorer",
    "few_labels_scorer",
    "lidar",
    "nearest_neighbors",
    "neighbor_overlap",
    "neighbor_overlap_scorer",
    "shared_dimension",
    "shared_dimension_scorer",
    "view_agreement",
    "view_agreement_scorer",
    "view_nearest_neighbor",
    "view_nearest_neighbor_scorer",
    "view_retrieval",
    "view_retrieval_scorer",
]
