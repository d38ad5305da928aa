"""Words that messages and tables share."""

from __future__ import annotations

from collections.abc import Sequence

RELAXED = "relaxed_"  # before the name of a number that is no likelihood, or of a bound that is none


def listed(names: Sequence[str]) -> str:
    """List the first five names, and say how many more there are.

    Example:
        >>> listed("abcdefg")
        'a, b, c, d, e and 2 more'
    """
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
