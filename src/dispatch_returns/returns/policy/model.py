"""The keys of a policy. Every key is declared here; any other one is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    field_validator,
    model_validator,
)

from dispatch_returns.returns.policy.keys import (
    Amounts,
    CheckName,
    Countries,
    Customers,
    Days,
    Globs,
    Name,
    Percent,
    Reviewer,
    Shipping,
    Verdicts,
    Word,
    Words,
    queue_of,
    word,
)
from dispatch_returns.returns.policy.verdict import Outcome

DEFAULT_OUTCOMES: Mapping[CheckName, Outcome] = {
    "unknown_order": Outcome.REVIEW,
    "unclear_order": Outcome.REVIEW,
    "unclear_request": Outcome.REVIEW,
    "no_items": Outcome.REVIEW,
    "unknown_item": Outcome.REVIEW,
    "too_many": Outcome.REVIEW,
    "blocked": Outcome.REJECT,
    "window": Outcome.REJECT,
    "not_delivered": Outcome.REVIEW,
    "condition": Outcome.REVIEW,
    "final_sale": Outcome.REJECT,
    "excluded": Outcome.REJECT,
    "max_value": Outcome.REVIEW,
    "earlier_returns": Outcome.REVIEW,
    "currency": Outcome.REVIEW,
}
"""The outcome of each check that objects, unless the policy sets another one."""

WaivableName = Literal[
    "window",
    "not_delivered",
    "condition",
    "final_sale",
    "excluded",
    "max_value",
    "earlier_returns",
]
"""The checks that a rule can waive: not those that find something unknown or wrong."""

FOR_ALLOWED = frozenset[str]({"max_value", "earlier_returns"})
"""The checks that do not apply to customers on the allow list."""


class Keys(BaseModel):
    """The base: strict, frozen, and unknown keys are refused."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=False
    )


class Check(Keys):
    """The outcome of a check that objects, and who reviews it then."""

    outcome: Verdicts | None = None
    assignee: Reviewer | None = None


class EarlierReturns(Keys):
    """The most returns (`count`) that a customer may make within `days`."""

    count: Annotated[int, Field(ge=0)]
    days: Annotated[Days, Field(ge=1)]


Translations = dict[Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")], Name]
"""A text for customers by language: ``en``, ``de``."""


class ReasonDetail(Keys):
    """A follow-up answer to "Why are you sending it back?"."""

    key: Word
    words: Translations = Field(default_factory=dict[str, str])


class ReasonChoice(Keys):
    """A reason that customers can choose, and what they are asked next."""

    key: Word
    words: Translations = Field(default_factory=dict[str, str])
    details: Annotated[tuple[ReasonDetail, ...], Field(strict=False)] = ()


class Rule(Keys):
    """An exception for some returns: those that match everything that the rule names.

    If several rules match, the first that sets a key decides that key; the outcome of each
    one counts.
    """

    name: Name
    reasons: Words | None = None
    countries: Countries | None = None
    categories: Words | None = None
    skus: Globs | None = None

    outcome: Verdicts | None = None
    why: Name | None = None
    assignee: Reviewer | None = None
    waive: (
        Annotated[frozenset[WaivableName], Field(strict=False), PlainSerializer(sorted)] | None
    ) = None
    window_days: Days | None = None
    grace_days: Days | None = None
    conditions: Words | None = None
    restocking_fee: Percent | None = None
    return_shipping: Amounts | None = None
    shipping: Shipping | None = None
    max_value: Amounts | None = None
    returnless_under: Amounts | None = None
    refund_on_receipt: bool | None = None

    @model_validator(mode="after")
    def _does_something(self) -> Rule:
        if all(getattr(self, key) is None for key in EFFECTS):
            raise ValueError(f"the rule does nothing: set one of {', '.join(EFFECTS)}")
        return self


MATCHES = ("reasons", "countries", "categories", "skus")
"""The keys that a rule matches on."""
SETTINGS = (
    "waive",
    "window_days",
    "grace_days",
    "conditions",
    "restocking_fee",
    "return_shipping",
    "shipping",
    "max_value",
    "returnless_under",
    "refund_on_receipt",
)
"""The keys of the policy that a rule can override."""
EFFECTS = ("outcome", *SETTINGS)


class PolicyKeys(Keys):
    """One version of a policy, as the merchant writes it."""

    version: Name
    valid_from: date | AwareDatetime | None = None
    time_zone: str = "UTC"

    window_days: Days = 30
    transit_days: Days = 5
    grace_days: Days = 0
    conditions: Words = ("new", "like_new", "good")
    final_sale: Globs | None = None
    excluded: Globs | None = None
    max_value: Amounts | None = None
    earlier_returns: EarlierReturns | None = None
    block: Customers | None = Field(default=None, repr=False)
    allow: Customers | None = Field(default=None, repr=False)

    restocking_fee: Percent | None = None
    condition_fees: dict[str, Percent] = Field(default_factory=dict[str, Percent])
    return_shipping: Amounts | None = None
    shipping: Shipping = "never"
    returnless_under: Amounts | None = None
    refund_on_receipt: bool = True

    assignee: Reviewer | None = None
    review_reminder_days: Annotated[Days, Field(ge=1)] | None = 2
    reminder_days: Annotated[Days, Field(ge=1)] | None = 7
    expiry_days: Annotated[Days, Field(ge=1)] = 30
    label_days: Annotated[Days, Field(ge=1)] = 30

    reasons: Annotated[tuple[ReasonChoice, ...], Field(strict=False)] = ()
    checks: dict[CheckName, Check] = Field(default_factory=dict[CheckName, Check])
    rules: Annotated[tuple[Rule, ...], Field(strict=False)] = ()

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError
            raise ValueError("not a time zone: write one such as Europe/Berlin") from None
        except KeyError:
            raise ValueError("not a time zone: write one such as Europe/Berlin") from None
        return value

    @field_validator("condition_fees", mode="after")
    @classmethod
    def _compared(cls, value: dict[str, Any]) -> dict[str, Any]:
        return {word(name): fee for name, fee in value.items()}

    @field_validator("rules")
    @classmethod
    def _names_differ(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        seen = set[str]()
        for rule in rules:
            if rule.name in seen or rule.name in DEFAULT_OUTCOMES:
                raise ValueError(f"two rules, or a rule and a check, are called {rule.name!r}")
            seen.add(rule.name)
        return rules

    @field_validator("reasons")
    @classmethod
    def _reasons_differ(cls, reasons: tuple[ReasonChoice, ...]) -> tuple[ReasonChoice, ...]:
        for named in ([it.key for it in reasons], *([d.key for d in it.details] for it in reasons)):
            if twice := {key for key in named if named.count(key) > 1}:
                raise ValueError(f"two reasons are called {min(twice)!r}")
        return reasons

    @property
    def zone(self) -> ZoneInfo:
        """The store's time zone."""
        return ZoneInfo(self.time_zone)

    @property
    def since(self) -> datetime | None:
        """When it comes into force: a date means midnight in the store's time zone."""
        if self.valid_from is None or isinstance(self.valid_from, datetime):
            return self.valid_from
        return datetime.combine(self.valid_from, time.min, self.zone).astimezone(UTC)

    @property
    def hash(self) -> str:
        """A hash of every key that differs from its default, however the file is laid out."""
        content = self.model_dump(mode="json", exclude={"valid_from"}, exclude_defaults=True)
        content["since"] = self.since and self.since.isoformat()
        text = json.dumps(content, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def id(self) -> str:
        """Name and hash of the content, as verdicts record it: ``2026-03@1f0c4a9d77e2``."""
        return f"{self.version}@{self.hash[:12]}"

    def outcome_of(self, check: CheckName) -> Outcome:
        """Return the outcome of `check` when it objects."""
        written = self.checks[check].outcome if check in self.checks else None
        return written or DEFAULT_OUTCOMES[check]

    def assignee_of(self, name: str) -> str | None:
        """Return who reviews what the check or the rule called `name` has sent to review."""
        named = next((rule.assignee for rule in self.rules if rule.name == name), None)
        if name in DEFAULT_OUTCOMES:
            named = next((c.assignee for check, c in self.checks.items() if check == name), None)
        return named or self.assignee

    @property
    def queues(self) -> tuple[str, ...]:
        """The names of all review queues that the policy uses, sorted."""
        named = [self.assignee, *(it.assignee for it in self.checks.values())]
        named += [it.assignee for it in self.rules]
        return tuple(sorted({queue for name in named if (queue := queue_of(name))}))
