"""What is wrong with a policy that can be read: rules that never fire, or contradict.

Each finding about rules holds in every cell that the policy tells apart (see `cells`), and
brings one of them as an example.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from dispatch_returns.returns.policy.book import PolicyBook
from dispatch_returns.returns.policy.cells import TooManyPatterns, cells_of, patterns_of, skus_of
from dispatch_returns.returns.policy.keys import fits
from dispatch_returns.returns.policy.model import SETTINGS, PolicyKeys, Rule
from dispatch_returns.returns.policy.terms import Case, fitting, terms_of
from dispatch_returns.returns.policy.verdict import Outcome

_BY_STRICTNESS = (Outcome.APPROVE, Outcome.REVIEW, Outcome.REJECT)


class Kind(enum.StrEnum):
    """What kind of mistake it is."""

    NEVER_FIRES = "never-fires"
    NO_EFFECT = "no-effect"
    CONTRADICTION = "contradiction"
    UNREACHABLE = "unreachable"
    REDUNDANT = "redundant"
    GAP = "gap"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake: where it is, and what a person should know. ``example`` is one such return."""

    kind: Kind
    version: str
    where: str
    what: str
    example: str | None = None


def check(book: PolicyBook) -> list[Finding]:
    """Return everything that is found in the versions of `book`."""
    found = [finding for policy in book.versions for finding in check_policy(policy)]
    for older, newer in itertools.pairwise(book.versions):
        if _content(older) == _content(newer):
            what = f"says the same as {older.version}: leave it out"
            found.append(Finding(Kind.REDUNDANT, newer.version, "version", what))
    return found


def check_policy(policy: PolicyKeys) -> list[Finding]:
    """Return everything that is found in one version."""
    found = [*_days(policy), *_conditions(policy), *_lists(policy), *_assignees(policy)]
    try:
        board = Board(policy)
        found += [*_patterns(policy), *board.rules(), *board.amounts()]
    except TooManyPatterns:
        what = "what they name combines in too many ways: they were not compared"
        found.append(Finding(Kind.INCOMPLETE, policy.version, "rules", what))
    return found


def _content(policy: PolicyKeys) -> Any:
    return policy.model_dump(exclude={"version", "valid_from"})


def _days(policy: PolicyKeys) -> Iterator[Finding]:
    def finding(kind: Kind, where: str, what: str) -> Finding:
        return Finding(kind, policy.version, where, what)

    if policy.reminder_days is not None and policy.reminder_days >= policy.expiry_days:
        what = f"day {policy.reminder_days} never comes: the return expires on {policy.expiry_days}"
        yield finding(Kind.UNREACHABLE, "reminder_days", what)
    if policy.label_days < policy.expiry_days:
        what = (
            f"from day {policy.label_days} to {policy.expiry_days} the return is open and its"
            " label is not good any more"
        )
        yield finding(Kind.CONTRADICTION, "label_days", what)
    if policy.grace_days and policy.outcome_of("window") is not Outcome.REJECT:
        outcome = policy.outcome_of("window")
        yield finding(Kind.NO_EFFECT, "grace_days", f"after the window it is {outcome} anyway")


def _conditions(policy: PolicyKeys) -> Iterator[Finding]:
    for name in policy.conditions:
        if name in policy.condition_fees:
            what = f"{name} is taken without a fee, and condition_fees names one: the fee counts"
            yield Finding(Kind.CONTRADICTION, policy.version, "conditions", what)


def _lists(policy: PolicyKeys) -> Iterator[Finding]:
    both = {*(policy.block or ())} & {*(policy.allow or ())}
    if both:
        what = f"{len(both)} of its customers are on the block list too, which counts"
        yield Finding(Kind.CONTRADICTION, policy.version, "allow", what)


def _assignees(policy: PolicyKeys) -> Iterator[Finding]:
    for name, said in policy.checks.items():
        graced = name == "window" and _has_grace(policy)
        outcome = policy.outcome_of(name)
        if said.assignee and outcome is not Outcome.REVIEW and not graced:
            what = f"nobody looks at it: its outcome is {outcome}"
            yield Finding(Kind.UNREACHABLE, policy.version, f"checks.{name}.assignee", what)
    for rule in policy.rules:
        if rule.assignee and rule.outcome is not Outcome.REVIEW:
            what = "nobody looks at it: only a rule with the outcome review has somebody look"
            yield Finding(Kind.UNREACHABLE, policy.version, f"rule {rule.name}: assignee", what)


def _has_grace(policy: PolicyKeys) -> bool:
    return bool(policy.grace_days) or any(rule.grace_days for rule in policy.rules)


def _patterns(policy: PolicyKeys) -> Iterator[Finding]:
    """Find patterns whose SKUs all fit another one of the same list, or are excluded anyway."""
    named = {"final_sale": policy.final_sale, "excluded": policy.excluded}
    lists = named | {f"rule {rule.name}: skus": rule.skus for rule in policy.rules}
    skus = skus_of(patterns_of(policy))
    for where, patterns in lists.items():
        for pattern in patterns or ():
            mine = [sku for sku in skus if fits(sku, (pattern,))]
            others = tuple(other for other in patterns or () if other != pattern)
            if all(fits(sku, others) for sku in mine):
                what = f"{pattern} fits nothing that {', '.join(others)} does not"
                yield Finding(Kind.REDUNDANT, policy.version, where, what)
            elif where == "final_sale" and all(fits(sku, policy.excluded or ()) for sku in mine):
                what = f"what fits {pattern} is excluded already"
                yield Finding(Kind.REDUNDANT, policy.version, where, what)


class Board:
    """A policy's rules over all the cells it tells apart."""

    def __init__(self, policy: PolicyKeys) -> None:
        self.policy = policy
        self.cells = cells_of(policy)

    @cached_property
    def _fitting(self) -> list[tuple[Case, list[Rule]]]:
        return [(cell, fitting(self.policy, cell)) for cell in self.cells]

    def rules(self) -> Iterator[Finding]:
        """Find what is wrong with each rule."""
        for rule in self.policy.rules:
            cells = [(cell, fit) for cell, fit in self._fitting if rule in fit]
            keys = [key for key in SETTINGS if getattr(rule, key) is not None]
            shadowed = {key: self._shadows(rule, key, cells) for key in keys}
            heard = rule.outcome is not None and self._is_heard(rule, cells)
            if not heard and all(shadowed.values()):
                yield self._never(rule, shadowed, cells)
                continue
            if rule.outcome is not None and not heard:
                yield self._unheard(rule, cells)
            yield from self._keys(rule, shadowed, cells)

    def _finding(self, kind: Kind, where: str, what: str, cell: Case | None = None) -> Finding:
        example = None if cell is None else self._described(cell)
        return Finding(kind, self.policy.version, where, what, example)

    def _described(self, cell: Case) -> str | None:
        """Return what a case names, None where it may be any return."""
        sku = cell.sku if fits(cell.sku, patterns_of(self.policy)) else None
        values = {
            "reason": cell.reason,
            "country": cell.country,
            "category": cell.category,
            "SKU": sku,
        }
        return ", ".join(f"{name} {value}" for name, value in values.items() if value) or None

    def _shadows(self, rule: Rule, key: str, cells: Sequence[tuple[Case, list[Rule]]]) -> list[str]:
        """Return the rules that set `key` first wherever `rule` fits; none where one does not."""
        names: list[list[str]] = []
        for _, fit in cells:
            before = fit[: fit.index(rule)]
            first = next((it for it in before if getattr(it, key) is not None), None)
            if first is None:
                return []
            names.append([first.name])
        return _culprits(names)

    def _is_heard(self, rule: Rule, cells: Sequence[tuple[Case, list[Rule]]]) -> bool:
        """Return whether the outcome of `rule` can be the one that counts, in any cell."""
        if rule.outcome in {None, Outcome.APPROVE}:
            return False
        return any(not self._stricter(rule, cell, fit) for cell, fit in cells)

    def _stricter(self, rule: Rule, cell: Case, fit: Sequence[Rule]) -> list[str]:
        """Return who certainly says something stricter than `rule` in a cell."""
        assert rule.outcome is not None
        level = _BY_STRICTNESS.index(rule.outcome)
        said = [(it.name, it.outcome) for it in fit if it is not rule and it.outcome is not None]
        waived = terms_of(self.policy, cell).waive
        if "excluded" not in waived and fits(cell.sku, self.policy.excluded or ()):
            said.append(("excluded", self.policy.outcome_of("excluded")))
        if "final_sale" not in waived and fits(cell.sku, self.policy.final_sale or ()):
            said.append(("final_sale", self.policy.outcome_of("final_sale")))
        return [name for name, outcome in said if _BY_STRICTNESS.index(outcome) > level]

    def _never(
        self, rule: Rule, shadowed: dict[str, list[str]], cells: Sequence[tuple[Case, list[Rule]]]
    ) -> Finding:
        names = dict.fromkeys(name for found in shadowed.values() for name in found)
        where = f"rule {rule.name}"
        if rule.outcome is None:
            what = f"{', '.join(names)} decides all it sets before it, wherever it fits"
            return self._finding(Kind.NEVER_FIRES, where, what, _plainest(cells))
        finding = self._unheard(rule, cells)
        if not names or finding.kind is Kind.CONTRADICTION:
            return finding
        what = f"{finding.what}; and {', '.join(names)} decides all it sets before it"
        return self._finding(Kind.NEVER_FIRES, where, what, _plainest(cells))

    def _unheard(self, rule: Rule, cells: Sequence[tuple[Case, list[Rule]]]) -> Finding:
        where = f"rule {rule.name}"
        stricter = [self._stricter(rule, cell, fit) for cell, fit in cells]
        names = ", ".join(_culprits(stricter))
        if not all(stricter):  # an approval that nothing contradicts everywhere
            what = "approve changes nothing: it comes out anyway where no rule is stricter"
            return self._finding(Kind.NO_EFFECT, where, what)
        if rule.outcome is Outcome.APPROVE:
            what = f"it approves, and {names} is stricter wherever it fits"
            return self._finding(Kind.CONTRADICTION, where, what, _plainest(cells))
        what = f"{names} is stricter wherever it fits"
        return self._finding(Kind.NEVER_FIRES, where, what, _plainest(cells))

    def _keys(
        self, rule: Rule, shadowed: dict[str, list[str]], cells: Sequence[tuple[Case, list[Rule]]]
    ) -> Iterator[Finding]:
        for key, names in shadowed.items():
            where = f"rule {rule.name}: {key}"
            if names:
                what = f"{', '.join(names)} sets it first, wherever this rule fits"
                yield self._finding(Kind.NO_EFFECT, where, what, _plainest(cells))
            elif rule.outcome is Outcome.REJECT and key != "waive":
                what = "the rule rejects all it fits, so this never matters"
                yield self._finding(Kind.NO_EFFECT, where, what)
            elif key != "waive" and self._is_the_same(rule, key, cells):
                what = "without it the same holds, wherever this rule fits"
                yield self._finding(Kind.NO_EFFECT, where, what)
        yield from self._waived(rule, cells)

    def _is_the_same(self, rule: Rule, key: str, cells: Sequence[tuple[Case, list[Rule]]]) -> bool:
        def without(fit: Sequence[Rule]) -> Any:
            layers: list[object] = [*(it for it in fit if it is not rule), self.policy]
            values = (getattr(layer, key) for layer in layers)
            return next((value for value in values if value is not None), None)

        def decides(fit: Sequence[Rule]) -> bool:
            return next(it for it in fit if getattr(it, key) is not None) is rule

        return all(without(fit) == getattr(rule, key) for _, fit in cells if decides(fit))

    def _waived(self, rule: Rule, cells: Sequence[tuple[Case, list[Rule]]]) -> Iterator[Finding]:
        for name in sorted(rule.waive or ()):
            if not self._can_object(name, [cell for cell, _ in cells]):
                what = f"nothing there could object as {name}"
                yield self._finding(Kind.NO_EFFECT, f"rule {rule.name}: waive", what)
        for key, check_name in (
            ("window_days", "window"),
            ("grace_days", "window"),
            ("conditions", "condition"),
            ("max_value", "max_value"),
        ):
            if getattr(rule, key) is not None and check_name in (rule.waive or ()):
                what = f"the same rule does without {check_name}"
                yield self._finding(Kind.CONTRADICTION, f"rule {rule.name}: {key}", what)

    def _can_object(self, name: str, cells: Sequence[Case]) -> bool:
        if name == "earlier_returns":
            return self.policy.earlier_returns is not None
        if name == "max_value":
            return any(terms_of(self.policy, cell).max_value is not None for cell in cells)
        if name == "excluded":
            return any(fits(cell.sku, self.policy.excluded or ()) for cell in cells)
        return True  # an order's line may say final_sale, and every order has its days

    def amounts(self) -> Iterator[Finding]:
        """Find intervals of value that exclude each other, and currencies that are half named."""
        seen = set[tuple[str, str]]()
        for cell in sorted(self.cells, key=_unnamed, reverse=True):
            for where, what in self._of_amounts(cell):
                if (where, what) not in seen:
                    seen.add((where, what))
                    kind = Kind.GAP if where == "currencies" else Kind.CONTRADICTION
                    yield self._finding(kind, where, what, cell)

    def _of_amounts(self, cell: Case) -> Iterator[tuple[str, str]]:
        terms = terms_of(self.policy, cell)
        if any(rule.outcome is Outcome.REJECT for rule in fitting(self.policy, cell)):
            return
        if terms.restocking_fee == 1:
            yield "restocking_fee", "100% keeps everything: nothing is ever paid back"
        limit, returnless = terms.max_value or {}, terms.returnless_under or {}
        for currency in sorted(limit.keys() & returnless.keys()):
            low, high = limit[currency], returnless[currency]
            if low < high and "max_value" not in terms.waive:
                yield "returnless_under", _between(low, high, currency)
        tables = {"return_shipping": terms.return_shipping, "max_value": terms.max_value}
        named = {key: set(table) for key, table in tables.items() if table}
        for key, currencies in named.items():
            if missing := sorted(set[str]().union(*named.values()) - currencies):
                what = f"{key} names no {', '.join(missing)}: such returns go to a person"
                yield "currencies", what


def _between(low: Decimal, high: Decimal, currency: str) -> str:
    return (
        f"from {low} to {high} {currency} nothing need be sent back, and a person must look,"
        " for max_value is lower"
    )


def _culprits(names: Sequence[Sequence[str]]) -> list[str]:
    """Return who is to blame: those in all of the lists, or else everybody in any."""
    everybody = dict.fromkeys(name for found in names for name in found)
    always = [name for name in everybody if all(name in found for found in names)]
    return always or list(everybody)


def _plainest(cells: Sequence[tuple[Case, list[Rule]]]) -> Case:
    """Return the case that says least: what it names it must name."""
    return max((cell for cell, _ in cells), key=_unnamed)


def _unnamed(cell: Case) -> int:
    return (cell.reason, cell.country, cell.category).count(None)
