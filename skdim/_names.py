"""From what the user typed to the thing it names: one dict per choice, one lookup for all."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any


def lookup(
    choice: Any, registry: Mapping[str, Any], parameter: str, *, or_callable: bool = True
) -> Any:
    """Return the entry that ``choice`` names, or ``choice`` itself when it is callable.

    Parameters
    ----------
    choice : str or callable
        A name in ``registry``, or a custom object.
    registry : mapping of str to object
        The legal names.
    parameter : str
        The parameter that the choice came from, for the error.
    or_callable : bool, default=True
        Whether a custom object is allowed.

    Raises
    ------
    ValueError
        If ``choice`` is a name that ``registry`` does not hold.
    TypeError
        If ``choice`` is neither a name nor callable.
    """
    if isinstance(choice, str) and choice in registry:
        return registry[choice]
    if or_callable and callable(choice):
        return choice
    legal = f"one of {sorted(registry)}" + (" or a callable" if or_callable else "")
    sentence = f"The {parameter!r} parameter must be {legal}. Got {choice!r} instead."
    if not isinstance(choice, str):
        raise TypeError(sentence)
    close = get_close_matches(choice, registry, n=1)
    raise ValueError(sentence + (f" Did you mean {close[0]!r}?" if close else ""))
