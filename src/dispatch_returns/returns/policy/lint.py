"""Find mistakes in a valid policy, such as rules that never apply or contradict each other.

Each finding about rules is true in every cell of the policy (see `cells`) that it concerns,
and has one of them as its example.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dispatch_returns.returns.policy.book import PolicyBook
from dispatch_returns.returns.policy.cells import TooManyPatterns, cells_of, patterns_of, skus_of
from dispatch_returns.returns.policy.keys import fits
from dispatch_returns.returns.policy.model import SETTINGS, PolicyKeys, Rule
from dispatch_returns.returns.policy.terms import RuleSubject, fitting, terms_of
from dispatch_returns.returns.policy.verdict import Outcome

_BY_STRICTNESS = (Outcome.APPROVE, Outcome.REVIEW, Outcome.REJECT)


class Kind(enum.StrEnum):
    """The kind of a mistake."""

    NEVER_FIRES = "never-fires"
    NO_EFFECT = "no-effect"
    CONTRADICTION = "contradiction"
    UNREACHABLE = "unreachable"
    REDUNDANT = "redundant"
    GAP = "gap"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake: where it is and what it is. ``example`` is a return that it concerns."""

    kind: Kind
    version: str
    where: str
    what: str
    example: str | None = None


def check(book: PolicyBook) -> list[Finding]:
    """Return all findings in the versions of `book`."""
    found = [finding for policy in book.versions for finding in check_policy(policy)]
    for older, newer in itertools.pairwise(book.versions):
        if _content(older) == _content(newer):
            what = f"it is the same as {older.version}: remove it"
            found.append(Finding(Kind.REDUNDANT, newer.version, "version", what))
    return found


def check_policy(policy: PolicyKeys) -> list[Finding]:
    """Return all findings in one version."""
    found = [*_settings(policy), *_assignees(policy)]
    try:
        board = Board(policy)
        found += [*_patterns(policy), *board.rules(), *board.amounts()]
    except TooManyPatterns:
        what = "their values combine in too many ways: they were not compared"
        found.append(Finding(Kind.INCOMPLETE, policy.version, "rules", what))
    return found


def _content(policy: PolicyKeys) -> Any:
    return policy.model_dump(exclude={"version", "valid_from"})


def _settings(policy: PolicyKeys) -> Iterator[Finding]:
    """Find keys of the policy itself that contradict each other."""

    def finding(kind: Kind, where: str, what: str) -> Finding:
        return Finding(kind, policy.version, where, what)

    if policy.reminder_days is not None and policy.reminder_days >= policy.expiry_days:
        what = f"day {policy.reminder_days} never comes: the return expires on {policy.expiry_days}"
        yield finding(Kind.UNREACHABLE, "reminder_days", what)
    if policy.label_days < policy.expiry_days:
        what = (
            f"from day {policy.label_days} to {policy.expiry_days} the return is open, but its"
            " label has expired"
        )
        yield finding(Kind.CONTRADICTION, "label_days", what)
    outcome = policy.outcome_of("window")
    if policy.grace_days and outcome is not Outcome.REJECT:
        yield finding(Kind.NO_EFFECT, "grace_days", f"the outcome after the window is {outcome}")
    for name in policy.conditions:
        if name in policy.condition_fees:
            what = f"{name} is accepted without a fee, but condition_fees has one: the fee counts"
            yield finding(Kind.CONTRADICTION, "conditions", what)
    if both := {*(policy.block or ())} & {*(policy.allow or ())}:
        what = f"{len(both)} of its customers are on the block list too, which counts"
        yield finding(Kind.CONTRADICTION, "allow", what)


def _assignees(policy: PolicyKeys) -> Iterator[Finding]:
    """Find assignees who never get a return to review."""
    grace = bool(policy.grace_days) or any(rule.grace_days for rule in policy.rules)
    for name, keys in policy.checks.items():
        outcome = policy.outcome_of(name)
        in_grace = name == "window" and grace
        if keys.assignee and outcome is not Outcome.REVIEW and not in_grace:
            what = f"never reviews it: the outcome of the check is {outcome}"
            yield Finding(Kind.UNREACHABLE, policy.version, f"checks.{name}.assignee", what)
    for rule in policy.rules:
        if rule.assignee and rule.outcome is not Outcome.REVIEW:
            what = "never reviews it: only a rule with the outcome review needs an assignee"
            yield Finding(Kind.UNREACHABLE, policy.version, f"rule {rule.name}: assignee", what)


def _patterns(policy: PolicyKeys) -> Iterator[Finding]:
    """Find patterns whose SKUs all match another one of the same list, or are excluded anyway."""
    named = {"final_sale": policy.final_sale, "excluded": policy.excluded}
    lists = named | {f"rule {rule.name}: skus": rule.skus for rule in policy.rules}
    skus = skus_of(patterns_of(policy))
    for where, patterns in lists.items():
        for pattern in patterns or ():
            mine = [sku for sku in skus if fits(sku, (pattern,))]
            others = tuple(other for other in patterns or () if other != pattern)
            if all(fits(sku, others) for sku in mine):
                what = f"{pattern} matches nothing that {', '.join(others)} does not"
                yield Finding(Kind.REDUNDANT, policy.version, where, what)
            elif where == "final_sale" and all(fits(sku, policy.excluded or ()) for sku in mine):
                what = f"what matches {pattern} is excluded already"
                yield Finding(Kind.REDUNDANT, policy.version, where, what)


class Board:
    """A policy's rules over all its cells."""

    def __init__(self, policy: PolicyKeys) -> None:
        self.policy = policy
        self.cells = [(cell, fitting(policy, cell)) for cell in cells_of(policy)]

    def rules(self) -> Iterator[Finding]:
        """Find the mistakes in each rule."""
        for rule in self.policy.rules:
            cells = [(cell, fit) for cell, fit in self.cells if rule in fit]
            keys = [key for key in SETTINGS if getattr(rule, key) is not None]
            shadowed = {key: self._shadows(rule, key, cells) for key in keys}
            # Whether the rule's outcome decides anywhere. An approval never does.
            decides = rule.outcome not in {None, Outcome.APPROVE} and any(
                not self._stricter(rule, cell, fit) for cell, fit in cells
            )
            if not decides and all(shadowed.values()):
                yield self._never_applies(rule, shadowed, cells)
                continue
            if rule.outcome is not None and not decides:
                yield self._outcome_never_counts(rule, cells)
            yield from self._keys(rule, shadowed, cells)
            yield from self._waived(rule, cells)

    def _finding(
        self, kind: Kind, where: str, what: str, cell: RuleSubject | None = None
    ) -> Finding:
        example = ""
        if cell is not None:
            sku = cell.sku if fits(cell.sku, patterns_of(self.policy)) else None
            values = {
                "reason": cell.reason,
                "country": cell.country,
                "category": cell.category,
                "SKU": sku,
            }
            example = ", ".join(f"{name} {value}" for name, value in values.items() if value)
        return Finding(kind, self.policy.version, where, what, example or None)

    def _shadows(
        self, rule: Rule, key: str, cells: Sequence[tuple[RuleSubject, list[Rule]]]
    ) -> list[str]:
        """Return the rules that set `key` before `rule` does, if that is so in all of `cells`."""
        names: list[list[str]] = []
        for _, fit in cells:
            before = fit[: fit.index(rule)]
            first = next((it for it in before if getattr(it, key) is not None), None)
            if first is None:
                return []
            names.append([first.name])
        return _culprits(names)

    def _stricter(self, rule: Rule, cell: RuleSubject, fit: Sequence[Rule]) -> list[str]:
        """Return the rules and checks that always have a stricter outcome than `rule` in `cell`."""
        assert rule.outcome is not None
        level = _BY_STRICTNESS.index(rule.outcome)
        others = [(it.name, it.outcome) for it in fit if it is not rule and it.outcome is not None]
        waived = terms_of(self.policy, cell).waive
        if "excluded" not in waived and fits(cell.sku, self.policy.excluded or ()):
            others.append(("excluded", self.policy.outcome_of("excluded")))
        if "final_sale" not in waived and fits(cell.sku, self.policy.final_sale or ()):
            others.append(("final_sale", self.policy.outcome_of("final_sale")))
        return [name for name, outcome in others if _BY_STRICTNESS.index(outcome) > level]

    def _never_applies(
        self,
        rule: Rule,
        shadowed: dict[str, list[str]],
        cells: Sequence[tuple[RuleSubject, list[Rule]]],
    ) -> Finding:
        names = dict.fromkeys(name for found in shadowed.values() for name in found)
        where = f"rule {rule.name}"
        if rule.outcome is None:
            what = f"{', '.join(names)} sets all its keys first, wherever this rule applies"
            return self._finding(Kind.NEVER_FIRES, where, what, _plainest(cells))
        finding = self._outcome_never_counts(rule, cells)
        if not names or finding.kind is Kind.CONTRADICTION:
            return finding
        what = f"{finding.what}, and {', '.join(names)} sets all its keys first"
        return self._finding(Kind.NEVER_FIRES, where, what, _plainest(cells))

    def _outcome_never_counts(
        self, rule: Rule, cells: Sequence[tuple[RuleSubject, list[Rule]]]
    ) -> Finding:
        where = f"rule {rule.name}"
        stricter = [self._stricter(rule, cell, fit) for cell, fit in cells]
        names = ", ".join(_culprits(stricter))
        if not all(stricter):  # an approval that nothing contradicts everywhere
            what = "approve changes nothing: it is the outcome anyway unless a rule is stricter"
            return self._finding(Kind.NO_EFFECT, where, what)
        if rule.outcome is Outcome.APPROVE:
            what = f"it approves, but {names} is stricter wherever this rule applies"
            return self._finding(Kind.CONTRADICTION, where, what, _plainest(cells))
        what = f"{names} is stricter wherever this rule applies"
        return self._finding(Kind.NEVER_FIRES, where, what, _plainest(cells))

    def _keys(
        self,
        rule: Rule,
        shadowed: dict[str, list[str]],
        cells: Sequence[tuple[RuleSubject, list[Rule]]],
    ) -> Iterator[Finding]:
        """Find the keys of `rule` that change nothing."""
        for key, names in shadowed.items():
            where = f"rule {rule.name}: {key}"
            if names:
                what = f"{', '.join(names)} sets it first, wherever this rule applies"
                yield self._finding(Kind.NO_EFFECT, where, what, _plainest(cells))
            elif rule.outcome is Outcome.REJECT and key != "waive":
                what = "the rule rejects everything that it matches, so this never matters"
                yield self._finding(Kind.NO_EFFECT, where, what)
            elif key != "waive" and self._is_the_same(rule, key, cells):
                what = "the value would be the same without it, wherever this rule applies"
                yield self._finding(Kind.NO_EFFECT, where, what)

    def _is_the_same(
        self, rule: Rule, key: str, cells: Sequence[tuple[RuleSubject, list[Rule]]]
    ) -> bool:
        """Return whether `key` has the same value without `rule`, wherever the rule decides it."""

        def without(fit: Sequence[Rule]) -> Any:
            layers: list[object] = [*(it for it in fit if it is not rule), self.policy]
            values = (getattr(layer, key) for layer in layers)
            return next((value for value in values if value is not None), None)

        def decides(fit: Sequence[Rule]) -> bool:
            return next(it for it in fit if getattr(it, key) is not None) is rule

        return all(without(fit) == getattr(rule, key) for _, fit in cells if decides(fit))

    def _waived(
        self, rule: Rule, cells: Sequence[tuple[RuleSubject, list[Rule]]]
    ) -> Iterator[Finding]:
        """Find checks that `rule` waives without need, and keys of checks that it waives."""
        # The other checks always can: a line can be a final sale, and every order has dates.
        can_object = {
            "earlier_returns": self.policy.earlier_returns is not None,
            "max_value": any(
                terms_of(self.policy, cell).max_value is not None for cell, _ in cells
            ),
            "excluded": any(fits(cell.sku, self.policy.excluded or ()) for cell, _ in cells),
        }
        for name in sorted(rule.waive or ()):
            if not can_object.get(name, True):
                what = f"the check {name} never objects there"
                yield self._finding(Kind.NO_EFFECT, f"rule {rule.name}: waive", what)
        for key, check_name in (
            ("window_days", "window"),
            ("grace_days", "window"),
            ("conditions", "condition"),
            ("max_value", "max_value"),
        ):
            if getattr(rule, key) is not None and check_name in (rule.waive or ()):
                what = f"the same rule waives {check_name}"
                yield self._finding(Kind.CONTRADICTION, f"rule {rule.name}: {key}", what)

    def amounts(self) -> Iterator[Finding]:
        """Find amounts that contradict each other, and currencies that only some keys name."""
        seen = set[tuple[str, str]]()
        cells = (cell for cell, _ in self.cells)
        for cell in sorted(cells, key=_unnamed, reverse=True):
            for where, what in self._of_amounts(cell):
                if (where, what) not in seen:
                    seen.add((where, what))
                    kind = Kind.GAP if where == "currencies" else Kind.CONTRADICTION
                    yield self._finding(kind, where, what, cell)

    def _of_amounts(self, cell: RuleSubject) -> Iterator[tuple[str, str]]:
        terms = terms_of(self.policy, cell)
        if any(rule.outcome is Outcome.REJECT for rule in fitting(self.policy, cell)):
            return
        if terms.restocking_fee == 1:
            yield "restocking_fee", "100% keeps the whole price: nothing is ever paid back"
        limit, returnless = terms.max_value or {}, terms.returnless_under or {}
        for currency in sorted(limit.keys() & returnless.keys()):
            low, high = limit[currency], returnless[currency]
            if low < high and "max_value" not in terms.waive:
                what = (
                    f"from {low} to {high} {currency} the customer keeps the items, but a person"
                    " must review the return, as max_value is lower"
                )
                yield "returnless_under", what
        tables = {"return_shipping": terms.return_shipping, "max_value": terms.max_value}
        named = {key: set(table) for key, table in tables.items() if table}
        for key, currencies in named.items():
            if missing := sorted(set[str]().union(*named.values()) - currencies):
                what = f"{key} names no {', '.join(missing)}: such returns need a review"
                yield "currencies", what


def _culprits(names: Sequence[Sequence[str]]) -> list[str]:
    """Return the names that are in all of the lists; if there are none, all names."""
    each = dict.fromkeys(name for found in names for name in found)
    always = [name for name in each if all(name in found for found in names)]
    return always or list(each)


def _plainest(cells: Sequence[tuple[RuleSubject, list[Rule]]]) -> RuleSubject:
    """Return the case that names least, as the clearest example."""
    return max((cell for cell, _ in cells), key=_unnamed)


def _unnamed(cell: RuleSubject) -> int:
    return (cell.reason, cell.country, cell.category).count(None)
