"""What training maximises: positives scored above negatives, a few codes at a time, and summed.

``negatives`` says which pairs are compared, ``chunked`` estimates a bound on all of them with
little memory, ``additive`` also over several processes, ``deep_infomax`` is the weighted sum of the
bounds and the prior.
"""

from skdim.objective.deep_infomax import DIMObjective

__all__ = ["DIMObjective"]
