"""From what the user typed to the thing it names: one dict per choice, one lookup for all."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any


def lookup(choice: Any, registry: Mapping[str, Any], parameter: str) -> Any:
    """Return the entry that ``choice`` names, or ``choice`` itself when it is callable.

    Parameters
    ----------
    choice : str or callable
        A name in ``registry``, or the user's own piece.
    registry : mapping of str to object
        The legal names.
    parameter : str
        The constructor parameter that the choice came from, for the error.

    Raises
    ------
    ValueError
        If ``choice`` is a name that ``registry`` does not hold.
    TypeError
        If ``choice`` is neither a name nor callable.
    """
    if isinstance(choice, str):
        if choice in registry:
            return registry[choice]
        close = get_close_matches(choice, registry, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"The {parameter!r} parameter must be one of {sorted(registry)} or a callable. "
            f"Got {choice!r} instead.{hint}"
        )
    if callable(choice):
        return choice
    raise TypeError(
        f"The {parameter!r} parameter must be one of {sorted(registry)} or a callable. "
        f"Got {choice!r} instead."
    )
