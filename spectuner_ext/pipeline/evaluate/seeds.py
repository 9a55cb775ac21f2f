"""Seeds that depend on what they are for, and on nothing else: not on order, nor on what else is drawn."""

import hashlib

__all__ = ["seed_of"]


def seed_of(seed: int, *names: str | int) -> int:
    """Seed below 2^63 of what `names` name, in a run with a seed.

    Parameters
    ----------
    seed : int
        Of the whole run.
    names : str or int
        Such as the key of a pair and the name of a method.

    Examples
    --------
    >>> seed_of(1, "pair", "pso", 0) == seed_of(1, "pair", "pso", 0)
    True
    >>> seed_of(1, "pair", "pso", 0) == seed_of(1, "pair", "pso", 1)
    False
    """
    # repr, and a separator that repr cannot hold unescaped: ("ab", "c") and ("a", "bc") differ
    text = "\n".join(repr(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big") >> 1
