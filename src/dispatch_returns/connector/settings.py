"""`Settings`: everything that can be set, and the only reader of the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.money import parse_amounts


def _amounts(value: Any) -> Any:
    """Read ``500 USD, 60000 JPY``."""
    return parse_amounts(value) if isinstance(value, str) else value


def _evidence(value: Any) -> Any:
    """Read ``received_date, condition=good|like_new``."""
    if not isinstance(value, str):
        return value
    return dict(_required(part) for part in _parts(value) or [""])


def _required(part: str) -> tuple[str, frozenset[str]]:
    name, equals, values = part.partition("=")
    accepted = frozenset(_parts(values, "|"))
    if not re.fullmatch(r"[\w.-]+", name.strip()) or "=" in values or (equals and not accepted):
        raise ValueError('write evidence as "received_date, condition=good|like_new"')
    return name.strip(), accepted


def _list(value: Any) -> Any:
    """Read a comma-separated list."""
    return tuple(_parts(value)) if isinstance(value, str) else value


def _parts(value: str, separator: str = ",") -> list[str]:
    return [part.strip() for part in value.split(separator) if part.strip()]


DATABASE_URL = "sqlite:///dispatch-returns.db"
MIN_KEEP_EVENTS = 8
"""Days. A delivery is refused as a replay once it is 7 days old; until then its id is needed."""
Names = Annotated[tuple[str, ...], BeforeValidator(_list)]
Amounts = Annotated[dict[str, Decimal], BeforeValidator(_amounts)]


class Settings(BaseModel):
    """What a `Connector` is built from. Build it in Python, or from the environment.

    Amounts are major units by currency code; where a limit names some currencies, a refund in
    another is held. `evidence` names the custom fields a ticket must carry before it is paid,
    with the values that are accepted (none named: any value). `keep_events` is how many days an
    event is kept after it was dealt with (None: for ever). The workers compare the books of the
    last `reconcile_days` every `reconcile_every` hours (0: never).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    api_key: SecretStr
    workspace: str
    # While a secret is rotated, both are accepted.
    webhook_secrets: Annotated[tuple[SecretStr, ...], BeforeValidator(_list)] = ()
    base_url: str = "https://api.dispatchtickets.com/v1"
    style: Literal["workspaces", "brands"] = "workspaces"
    database_url: str = Field(default=DATABASE_URL, repr=False)  # it may hold a password
    adapter: str = "stripe"
    adapter_options: dict[str, str] = Field(default_factory=dict, repr=False)
    stripe_search: bool = False
    kill_switch: bool = False
    dry_run: bool = False
    max_refund: Amounts = Field(default_factory=dict)
    max_per_day: Amounts = Field(default_factory=dict)
    approve_above: Amounts = Field(default_factory=dict)
    evidence: Annotated[dict[str, frozenset[str]], BeforeValidator(_evidence)] = Field(
        default_factory=lambda: {"received_date": frozenset[str]()}
    )
    policy: Names = ()
    orders: Annotated[Names, Field(min_length=1)] = ("ticket",)
    order_options: dict[str, dict[str, str]] = Field(default_factory=dict, repr=False)
    labels: str = "printable"
    label_options: dict[str, str] = Field(default_factory=dict, repr=False)
    return_address: str | None = Field(default=None, repr=False)
    language: str = "en"
    notices: Names = ("comments",)
    notice_templates: str | None = None
    shop: str = ""
    smtp_options: dict[str, str] = Field(default_factory=dict, repr=False)
    workers: int = Field(default=4, ge=1, le=64)
    handler_limit: int = Field(default=60, ge=1)
    handler_tracebacks: bool = True
    keep_events: int | None = Field(default=None, ge=MIN_KEEP_EVENTS)
    reconcile_every: int = Field(default=24, ge=0)
    reconcile_days: int = Field(default=7, ge=1)
    requested_status: str = "return_requested"
    check_status: str = "eligibility_check"
    approved_status: str = "approved"
    label_sent_status: str = "label_sent"
    received_status: str = "item_received"
    refunded_status: str = "refunded"
    review_status: str = "needs_review"
    rejected_status: str = "rejected"
    expired_status: str = "expired"

    @property
    def statuses(self) -> dict[str, str]:
        """Return each step's status, by the name the step has in the guide."""
        return {step: str(getattr(self, field)) for step, field in STATUS_FIELDS.items()}

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Return the settings in `environ` (default: the process's own).

        Raises `ConfigurationError` that names every variable that is missing or wrong, or that
        looks like a setting of ours and is none.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {
            field: environ[name] for field, name in VARIABLES.items() if environ.get(name)
        }
        adapter = str(values.get("adapter", "stripe"))
        values["adapter_options"] = _options(environ, adapter)
        sources = _parts(str(values.get("orders", "ticket")))
        values["order_options"] = {name: _options(environ, name) for name in sources}
        values["label_options"] = _options(environ, str(values.get("labels", "printable")))
        values["smtp_options"] = _options(environ, "smtp")
        plugins = (adapter, *sources, str(values.get("labels", "printable")))
        problems = _unknown(environ, plugins)
        try:
            settings = cls(**values)
        except ValidationError as error:
            raise ConfigurationError("; ".join((*problems, _explain(error)))) from None
        if problems:
            raise ConfigurationError("; ".join(problems))
        return settings


STATUS_FIELDS: Mapping[str, str] = {
    "return_requested": "requested_status",
    "eligibility_check": "check_status",
    "approved": "approved_status",
    "label_sent": "label_sent_status",
    "item_received": "received_status",
    "refunded": "refunded_status",
    "needs_review": "review_status",
    "rejected": "rejected_status",
    "expired": "expired_status",
}
"""Step -> the setting that names its status."""

VARIABLES: Mapping[str, str] = {
    "api_key": "DISPATCH_API_KEY",
    "workspace": "DISPATCH_WORKSPACE",
    "webhook_secrets": "DISPATCH_WEBHOOK_SECRET",
    "base_url": "DISPATCH_BASE_URL",
    "style": "DISPATCH_STYLE",
} | {
    name: f"DISPATCH_RETURNS_{name.upper()}"
    for name in (
        "database_url",
        "adapter",
        "stripe_search",
        "kill_switch",
        "dry_run",
        "max_refund",
        "max_per_day",
        "approve_above",
        "evidence",
        "policy",
        "orders",
        "labels",
        "return_address",
        "language",
        "notices",
        "notice_templates",
        "shop",
        "workers",
        "handler_limit",
        "handler_tracebacks",
        "keep_events",
        "reconcile_every",
        "reconcile_days",
        "requested_status",
        "check_status",
        "approved_status",
        "label_sent_status",
        "received_status",
        "refunded_status",
        "review_status",
        "rejected_status",
        "expired_status",
    )
}
"""Setting -> environment variable. A plugin's own start with its name: ``STRIPE_API_KEY``."""


def read_one(field: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the text of one setting, None if it is not set: for what needs no other one."""
    return (os.environ if environ is None else environ).get(VARIABLES[field]) or None


def status_names(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return each step's status as `Settings.statuses` does: for what needs no other setting."""
    return {step: read_one(field, environ) or step for step, field in STATUS_FIELDS.items()}


_OURS = "DISPATCH_RETURNS_"
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)")
"""What Kubernetes sets in every pod of a namespace for a service called ``dispatch-returns``:
https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables"""


def _unknown(environ: Mapping[str, str], plugins: Iterable[str]) -> list[str]:
    """Return what is wrong with each variable that is meant for us and that we do not have.

    ``DISPATCH_RETURNS_DRYRUN=1`` must not pay. What starts with ``DISPATCH_`` alone may be
    another program's, so it is refused only where it is nearly one of ours.
    """
    import difflib  # here: it is needed for a misspelt name alone

    known = set(VARIABLES.values())
    theirs = tuple(_prefix(plugin) for plugin in plugins)
    problems: list[str] = []
    for name, value in sorted(environ.items()):
        upper = name.upper()
        if not value or name in known or not upper.startswith("DISPATCH_"):
            continue
        if name.startswith(theirs) or _SERVICE_LINK.fullmatch(name):
            continue
        tail = upper.removeprefix(_OURS).removeprefix("DISPATCH_")
        same = [it for it in (f"{_OURS}{tail}", f"DISPATCH_{tail}") if it in known]
        alike = same or difflib.get_close_matches(upper, known, n=1, cutoff=0.85)
        if upper.startswith(_OURS) or alike:
            alike = alike or difflib.get_close_matches(upper, known, n=1, cutoff=0.0)
            problems.append(f"{name}: there is no such setting; did you mean {alike[0]}?")
    return problems


def _prefix(plugin: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", plugin).upper() + "_"


def _options(environ: Mapping[str, str], plugin: str) -> dict[str, str]:
    """Return the variables that start with a plugin's name, as its options."""
    prefix = _prefix(plugin)
    return {
        name.removeprefix(prefix).lower(): value
        for name, value in environ.items()
        if name.startswith(prefix) and value
    }


def _explain(error: ValidationError) -> str:
    """Say which variables are wrong, and never what was in them."""
    problems: list[str] = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        field = str(problem["loc"][0]) if problem["loc"] else ""
        missing = problem["type"] == "missing"
        what = "is not set" if missing else problem["msg"].removeprefix("Value error, ")
        problems.append(f"{VARIABLES.get(field, field)}: {what}")
    return "; ".join(problems)
