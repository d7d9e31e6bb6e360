"""What training maximises: positives scored above negatives.

``deep_infomax`` is the weighted sum of the bounds, the prior and the ``coordinates``. ``pairs``
says which local features a code is compared with, and ``scores`` computes a bound on all pairs of a
batch, a few codes at a time.
"""

from skdim.objective.deep_infomax import DIMObjective, ObjectiveConfig

__all__ = ["DIMObjective", "ObjectiveConfig"]
