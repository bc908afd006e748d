"""Shares an amount out to the last minor unit: nothing is lost, nothing is made."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import floor


def share(total: int, weights: Sequence[int]) -> list[int]:
    """Return `total` minor units in as many parts as there are `weights`, in their proportion.

    What is left after rounding down goes, one unit each, to the parts that lost most by it;
    of equals the earlier ones (the method of the largest remainder). Where all weights are 0
    they count as equal. Raises `ValueError` for a negative number, and for no weights.
    """
    if not weights or total < 0 or min(weights) < 0:
        raise ValueError("share() needs weights, and no negative numbers")
    whole = sum(weights)
    if not whole:
        return share(total, [1] * len(weights))
    parts = [total * weight // whole for weight in weights]
    by_loss = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in by_loss[: total - sum(parts)]:
        parts[i] += 1
    return parts


def rounded(amounts: Sequence[Fraction], total: int, slack: Fraction) -> list[int]:
    """Return `amounts`, none below zero, as whole minor units whose sum is `total`.

    A shop that rounds each amount by itself, or only their sum, shows amounts that add up to
    `total` but for some halves of a unit, at most `slack`. Where they differ by more, each is
    rounded by itself, and their sum is another than `total`.
    """
    if not amounts or abs(sum(amounts, Fraction(-total))) > slack:
        return [nearest(amount) for amount in amounts]
    return share(total, [floor(amount * _FINE) for amount in amounts])


def nearest(amount: Fraction) -> int:
    """Return `amount` rounded to a whole number, halves up."""
    return floor(amount + Fraction(1, 2))


_FINE = 10**12


def in_steps(amounts: Sequence[int], step: int) -> list[int]:
    """Return `amounts` as multiples of `step`, whose sum is theirs rounded down to one.

    For currencies whose payments are multiples of more than one minor unit, while the lines of
    an order need not be (ISK, UGX, KWD).
    """
    if step == 1 or not amounts:
        return list(amounts)
    return [part * step for part in share(sum(amounts) // step, amounts)]
