"""One example of each kind of return that a policy can tell apart.

A policy distinguishes returns by reason, country, category and SKU. Two values that the same
rules name are equivalent, and so are two SKUs that match the same patterns, so a finite number
of examples (cells) covers all possible returns. What is true in every cell is always true.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import product

from dispatch_returns.returns.policy.model import PolicyKeys, Rule
from dispatch_returns.returns.policy.terms import RuleSubject

_MOST_STATES = 20_000
_MOST_CELLS = 50_000
_FRESH = "\N{MIDDLE DOT}"
"""A character that patterns hardly contain; it stands for all those in no pattern."""


class TooManyPatterns(Exception):  # noqa: N818 - it never leaves this folder
    """The values in a policy's rules combine in more ways than can be compared."""


def cells_of(policy: PolicyKeys) -> list[RuleSubject]:
    """Return one case for each kind of return that `policy` tells apart.

    Raises `TooManyPatterns` if there are more than can be compared.
    """
    reasons = _alike(policy, lambda rule: rule.reasons)
    countries = _alike(policy, lambda rule: rule.countries)
    categories = _alike(policy, lambda rule: rule.categories)
    skus = skus_of(patterns_of(policy))
    if len(reasons) * len(countries) * len(categories) * len(skus) > _MOST_CELLS:
        raise TooManyPatterns
    kinds = product(skus, reasons, countries, categories)
    return [RuleSubject(*kind) for kind in kinds]


def patterns_of(policy: PolicyKeys) -> tuple[str, ...]:
    """Return every SKU pattern in `policy`, each once."""
    lists = [policy.final_sale, policy.excluded, *(rule.skus for rule in policy.rules)]
    return tuple(dict.fromkeys(pattern for found in lists for pattern in found or ()))


def _alike(policy: PolicyKeys, named: Callable[[Rule], Sequence[str] | None]) -> list[str | None]:
    """Return one value for each set of rules that name it; None stands for all other values."""
    values = dict.fromkeys(value for rule in policy.rules for value in named(rule) or ())
    by_rules: dict[tuple[bool, ...], str] = {}
    for value in values:
        by_rules.setdefault(tuple(value in (named(rule) or ()) for rule in policy.rules), value)
    return [*by_rules.values(), None]


def skus_of(patterns: Sequence[str]) -> list[str]:
    """Return one of the shortest SKUs for each set of `patterns` that an SKU can match.

    All patterns run at once, character by character, as one automaton. Raises
    `TooManyPatterns`.
    """
    signs = [*sorted({sign for pattern in patterns for sign in pattern} - {"*", "?"}), _FRESH]
    start = tuple(_past_stars(pattern, {0}) for pattern in patterns)
    waiting, known = deque([(start, "")]), set[_State]()
    found: dict[tuple[bool, ...], str] = {}
    while waiting:
        state, sku = waiting.popleft()
        matches = tuple(len(p) in places for p, places in zip(patterns, state, strict=True))
        if sku:
            found.setdefault(matches, sku)
        for sign in signs:
            after = tuple(
                _step(pattern, places, sign)
                for pattern, places in zip(patterns, state, strict=True)
            )
            if after not in known:
                known.add(after)
                waiting.append((after, sku + sign))
        if len(known) > _MOST_STATES:
            raise TooManyPatterns
    return list(found.values())


_State = tuple[frozenset[int], ...]
"""For each pattern, the places in it that an SKU can have reached: its end is a match."""


def _step(pattern: str, places: frozenset[int], sign: str) -> frozenset[int]:
    after = set[int]()
    for place in places:
        if place < len(pattern):
            if pattern[place] == "*":
                after.add(place)
            elif pattern[place] in {"?", sign}:
                after.add(place + 1)
    return _past_stars(pattern, after)


def _past_stars(pattern: str, places: set[int]) -> frozenset[int]:
    """Return `places` and those behind a star there: a star can match nothing."""
    reached = set(places)
    for place in range(len(pattern)):
        if place in reached and pattern[place] == "*":
            reached.add(place + 1)
    return frozenset(reached)
