"""`Settings`: every setting, declared once, and how it is read from the environment.

The table in docs/settings.md is made from the descriptions here. A plugin declares its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from dispatch_returns import environment
from dispatch_returns.connector import settings_file
from dispatch_returns.errors import ConfigurationError
from dispatch_returns.money import parse_amounts
from dispatch_returns.plugins.options import (
    CommaSeparated,
    Secrets,
    explain,
    nearest,
    prefix,
    split,
)
from dispatch_returns.returns.steps.statuses import Step


def _amounts(value: Any) -> Any:
    """Read ``500 USD, 60000 JPY``."""
    return parse_amounts(value) if isinstance(value, str) else value


def _amounts_by_adapter(value: Any) -> Any:
    """Read ``paypal=200 USD, paypal=150 EUR``."""
    if not isinstance(value, str):
        return value
    found: dict[str, list[str]] = {}
    for part in split(value):
        name, equals, amount = part.partition("=")
        if not equals:
            raise ValueError('write them as "paypal=200 USD, stripe-uk=150 GBP"')
        found.setdefault(name.strip(), []).append(amount.strip())
    return {name: parse_amounts(",".join(amounts)) for name, amounts in found.items()}


def _evidence(value: Any) -> Any:
    """Read ``received_date, condition=good|like_new``."""
    if not isinstance(value, str):
        return value
    evidence: dict[str, frozenset[str]] = {}
    for part in split(value) or [""]:
        name, equals, values = part.partition("=")
        accepted = frozenset(split(values, "|"))
        if not re.fullmatch(r"[\w.-]+", name.strip()) or "=" in values or (equals and not accepted):
            raise ValueError('write evidence as "received_date, condition=good|like_new"')
        evidence[name.strip()] = accepted
    return evidence


def _adapters(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check ``stripe, stripe-uk=stripe``: each name once, and one that a path can have."""
    from dispatch_returns.webhooks.receiver import DISPATCH  # here: nothing else needs the store

    names = [name_of(part) for part in value]
    for name, part in zip(names, value, strict=True):
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name) or not plugin_of(part):
            raise ValueError(
                f"write adapters as 'stripe, stripe-uk=stripe', not {part!r}; a name of yours has"
                " small letters, digits, - and _"
            )
        if name == DISPATCH:
            raise ValueError(f"{name} is where Dispatch's own events arrive: use another name")
    prefixes = [prefix(name) for name in names]
    twice = next((it for it in names if prefixes.count(prefix(it)) > 1), None)
    if twice is not None:
        raise ValueError(f"two adapters are called {twice}: give each a name of its own")
    return value


def name_of(entry: str) -> str:
    """Return the configured name in an entry of `Settings.adapters`."""
    return entry.partition("=")[0].strip()


def plugin_of(entry: str) -> str:
    """Return the installed adapter that an entry of `Settings.adapters` means."""
    name, _, plugin = entry.partition("=")
    return (plugin if "=" in entry else name).strip()


DATABASE_URL = "sqlite:///dispatch-returns.db"
MIN_KEEP_EVENTS = 8
"""Days. A delivery that is 7 days old is refused as a replay; until then its id is needed."""
Amounts = Annotated[dict[str, Decimal], BeforeValidator(_amounts)]
AmountsByAdapter = Annotated[dict[str, dict[str, Decimal]], BeforeValidator(_amounts_by_adapter)]


class Settings(BaseSettings):
    """What a `Connector` is built from: in Python, or with `from_env` from the environment.

    Each setting has its name, type, default and description; its variable is its name after
    ``DISPATCH_RETURNS_``, unless it has an alias. Amounts are in major units by currency code. A
    field without a description has no variable of its own: it holds a plugin's options, from the
    variables that start with the plugin's name (``STRIPE_API_KEY``).
    """

    model_config = SettingsConfigDict(
        env_prefix="DISPATCH_RETURNS_",
        enable_decoding=False,  # our validators read text, not JSON
        populate_by_name=True,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        loc_by_alias=False,
    )

    api_key: SecretStr = Field(
        validation_alias=environment.API_KEY, description="the key of the Dispatch API"
    )
    workspace: str = Field(validation_alias=environment.WORKSPACE, description="the workspace's id")
    webhook_secrets: Secrets = Field(
        default=(),
        validation_alias="DISPATCH_WEBHOOK_SECRET",
        description="the webhook's secret; several, separated by commas, while it is rotated."
        " Without one, every delivery is refused",
    )
    base_url: str = Field(
        default="https://api.dispatchtickets.com/v1",
        validation_alias=environment.BASE_URL,
        description="another server",
    )
    style: Literal["workspaces", "brands"] = Field(
        default="workspaces",
        validation_alias=environment.STYLE,
        description="the wire style of the API: `workspaces` or `brands`",
    )
    database_url: str = Field(
        default=DATABASE_URL,
        repr=False,  # it may hold a password
        description="the store: [SQLite or PostgreSQL](store.md). Use one for sandbox, one for test"
        " and one for live",
    )
    adapters: Annotated[CommaSeparated, Field(min_length=1), AfterValidator(_adapters)] = Field(
        default=("stripe",),
        description="the [adapters](adapters.md) that make the refunds, separated by commas. For"
        " a second account of one, add a name of yours: `stripe, stripe-uk=stripe`. Its settings"
        " then start with `STRIPE_UK_`",
    )
    adapter_options: dict[str, dict[str, str]] = Field(default_factory=dict, repr=False)
    stripe_search: bool = Field(
        default=False,
        description='search the payment by `metadata["order_id"]` if the ticket does not name it',
    )
    kill_switch: bool = Field(
        default=False,
        description="accept and check refunds, but send nothing to a processor; also while it runs:"
        " `dispatch-returns switch kill on`",
    )
    dry_run: bool = Field(
        default=False,
        description="hold each refund as `dry_run` instead of paying it, and write nothing to the"
        " ticket; also while it runs: `dispatch-returns switch dry-run on`",
    )
    max_refund: Amounts = Field(
        default_factory=dict, description="cap per refund: `500 USD, 60000 JPY`"
    )
    max_per_day: Amounts = Field(default_factory=dict, description="cap per day (UTC), by currency")
    adapter_max_refund: AmountsByAdapter = Field(
        default_factory=dict,
        description="cap per refund of one adapter, in addition: `paypal=200 USD, stripe-uk=9 GBP`",
    )
    adapter_max_per_day: AmountsByAdapter = Field(
        default_factory=dict, description="cap per day (UTC) of one adapter, in addition"
    )
    approve_above: Amounts = Field(
        default_factory=dict,
        description="above this amount, a second person must approve: `200 USD`",
    )
    evidence: Annotated[dict[str, frozenset[str]], BeforeValidator(_evidence)] = Field(
        default_factory=lambda: {"received_date": frozenset[str]()},
        description="fields that a ticket must have before it is paid, with the accepted values if"
        " not every value will do: `received_date, condition=good|like_new`",
    )
    policy: CommaSeparated = Field(
        default=(),
        description="the files of the [return policy](policy.md), separated by commas. Without"
        " one, returns are not evaluated",
    )
    orders: Annotated[CommaSeparated, Field(min_length=1)] = Field(
        default=("ticket",),
        description="the sources of [orders](orders.md), asked in this order: `ticket`, `sql`,"
        " `stripe`, `shopify`, `woocommerce`",
    )
    order_options: dict[str, dict[str, str]] = Field(default_factory=dict, repr=False)
    return_address: str | None = Field(
        default=None,
        repr=False,
        description="the address for returned packages: `Acme; Dock 3; 12345; Springfield; US`, or"
        " with a state: `Acme; Dock 3; 62701; Springfield; IL; US`. Without it, your staff"
        " send the labels",
    )
    labels: str = Field(
        default="printable",
        description="the provider of labels; its own settings start with its name",
    )
    label_options: dict[str, str] = Field(default_factory=dict, repr=False)
    language: str = Field(
        default="en",
        description="the language of labels and notifications, unless the ticket's field `language`"
        " names another",
    )
    notifications: CommaSeparated = Field(
        default=("comments",),
        description="how customers are notified: `comments`, `smtp`, or [both](notifications.md)",
    )
    notification_templates: str | None = Field(
        default=None, description="a folder of your own templates, which replace ours"
    )
    shop: str = Field(default="", description="the name that notifications are signed with")
    portal_url: str | None = Field(
        default=None,
        description="where customers reach the [portal](portal.md): `https://shop.example/returns`."
        " Without it, mails carry a code and no link",
    )
    portal_logo: str | None = Field(
        default=None, description="the portal's logo: a PNG, SVG, JPEG or WebP file"
    )
    portal_accent: str = Field(
        default="#2f5bea",
        pattern=r"^#[0-9A-Fa-f]{6}$",
        description="the colour of the portal's buttons; the text on it is chosen to be readable",
    )
    portal_templates: str | None = Field(
        default=None, description="a folder of your own templates and words, used before ours"
    )
    smtp_options: dict[str, str] = Field(default_factory=dict, repr=False)
    workers: int = Field(
        default=4, ge=1, le=64, description="how many items of each kind of work run at once"
    )
    handler_limit: int = Field(
        default=60,
        ge=1,
        description="seconds after which a [handler](receivers.md) that has not returned is"
        " reported",
    )
    handler_tracebacks: bool = Field(
        default=True,
        description="log what a [handler](receivers.md) of yours raises with its traceback, for"
        " your error tracker; it may quote what your code put into the exception",
    )
    keep_events: int | None = Field(
        default=None,
        ge=MIN_KEEP_EVENTS,
        description=f"days, at least {MIN_KEEP_EVENTS}. Older processed events are deleted from the"
        " inbox. Without it, none is. Label documents are deleted after this many days, and after"
        " 60 in any case",
    )
    reconcile_every: int = Field(
        default=24,
        ge=0,
        description="hours between two [comparisons](reconcile.md) of the tickets, the ledger and"
        " the processor; 0: never",
    )
    reconcile_days: int = Field(
        default=7, ge=1, description="how many days back the comparison goes"
    )
    requested_status: str = Field(default=Step.REQUESTED.value, description="the status of step 1")
    check_status: str = Field(default=Step.CHECK.value, description="the status of step 2")
    approved_status: str = Field(default=Step.APPROVED.value, description="the status of step 3")
    label_sent_status: str = Field(
        default=Step.LABEL_SENT.value, description="the status of step 4"
    )
    received_status: str = Field(default=Step.RECEIVED.value, description="the status of step 5")
    refunded_status: str = Field(default=Step.REFUNDED.value, description="the status that pays")
    review_status: str = Field(
        default=Step.REVIEW.value,
        description="the status for review by a person; also for the ticket of a held refund",
    )
    rejected_status: str = Field(
        default=Step.REJECTED.value, description="the status of a return that was rejected"
    )
    expired_status: str = Field(
        default=Step.EXPIRED.value,
        description="the status of a return whose package never came",
    )
    cancelled_status: str = Field(
        default=Step.CANCELLED.value,
        description="the status of a return that its customer has cancelled",
    )

    def check_caps(self, adapters: Collection[str]) -> None:
        """Raise `ConfigurationError` for a cap that names none of the `adapters`."""
        for field in ("adapter_max_refund", "adapter_max_per_day"):
            caps: Mapping[str, object] = getattr(self, field)
            unknown = next((name for name in caps if name not in adapters), None)
            if unknown is not None:
                known = ", ".join(adapters)
                raise ConfigurationError(
                    f"{VARIABLES[field]}: there is no adapter {unknown}, only: {known}"
                )

    @property
    def adapter_plugins(self) -> dict[str, str]:
        """Return each adapter's installed name, by its configured name."""
        return {name_of(it): plugin_of(it) for it in self.adapters}

    @property
    def statuses(self) -> dict[str, str]:
        """Return each step's status, by the step's name in the guide."""
        return {step: str(getattr(self, field)) for step, field in STATUS_FIELDS.items()}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic calls it with all of them
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where ``Settings(...)`` looks: only at its arguments, not at the environment."""
        return (init_settings,)

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str] | None = None, *, env_file: str | Path | None = None
    ) -> Self:
        """Return the settings in `environ` (default: the process's own).

        What it does not set comes from `env_file`, if one is given: a ``.env`` file, or a TOML
        file whose keys are the settings' names. A variable that is empty there or here is not set.

        Raises `ConfigurationError`, which names every variable that is missing or wrong, or that
        looks like a setting of ours and is not one.
        """
        given = environment.variables() if environ is None else environ
        if env_file is not None:
            given = {**settings_file.read(env_file, VARIABLES), **given}
        environ = {name: value for name, value in given.items() if value}
        source = EnvSettingsSource(cls)
        # Only names that are spelled as ours: the source itself would accept any case.
        known = VARIABLES.values()
        source.env_vars = {name.lower(): environ[name] for name in known if name in environ}
        values = source()
        adapters = adapter_names(environ)
        labels = str(values.get("labels", cls.model_fields["labels"].default))
        sources = split(str(values.get("orders", "ticket")))
        values["adapter_options"] = {it: _options(environ, it, adapters) for it in adapters}
        values["order_options"] = {name: _options(environ, name) for name in sources}
        values["label_options"] = _options(environ, labels)
        values["smtp_options"] = _options(environ, "smtp")
        problems = _unknown(environ, (*adapters, *sources, labels))
        try:
            settings = cls(**values)
        except ValidationError as error:
            problems += explain(error, cls.model_fields, VARIABLES)
            raise ConfigurationError("; ".join(problems)) from None
        if problems:
            raise ConfigurationError("; ".join(problems))
        settings.check_caps(settings.adapter_plugins)
        return settings


_OURS = "DISPATCH_RETURNS_"

VARIABLES: Mapping[str, str] = {
    name: str(field.validation_alias or f"{_OURS}{name.upper()}")
    for name, field in Settings.model_fields.items()
    if field.description
}
"""Setting -> environment variable."""

STATUS_FIELDS: Mapping[str, str] = {
    field.default: name for name, field in Settings.model_fields.items() if name.endswith("_status")
}
"""Step -> the setting that names its status."""


def use_file(path: str | Path) -> AbstractContextManager[None]:
    """Set the variables that a file sets and the process does not, for as long as a block lasts.

    Proxies and certificates too, which no setting of ours names.
    """
    return environment.completed(settings_file.read(path, VARIABLES))


def read_one(field: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the text of one setting, or None if it is not set, where no other one is needed."""
    return (environment.variables() if environ is None else environ).get(VARIABLES[field]) or None


def adapter_names(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the configured names of the adapters, where no other setting is needed."""
    default: tuple[str, ...] = Settings.model_fields["adapters"].default
    text = read_one("adapters", environ)
    return [name_of(it) for it in (split(text) if text else default)]


def status_names(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return each step's status, as `Settings.statuses` does, where no other setting is needed."""
    return {step: read_one(field, environ) or step for step, field in STATUS_FIELDS.items()}


_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)")
"""What Kubernetes sets in every pod of a namespace for a service called ``dispatch-returns``:
https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables"""


def _unknown(environ: Mapping[str, str], plugins: Iterable[str]) -> list[str]:
    """Return what is wrong with each variable that is meant for us and is not a setting.

    ``DISPATCH_RETURNS_DRYRUN=1`` must not pay. A name that only starts with ``DISPATCH_`` may
    belong to another program, so it is refused only where it is nearly one of ours.
    """
    known = set(VARIABLES.values())
    theirs = tuple(prefix(plugin) for plugin in plugins)
    problems: list[str] = []
    for name, value in sorted(environ.items()):
        upper = name.upper()
        if not value or name in known or not upper.startswith("DISPATCH_"):
            continue
        if name.startswith(theirs) or _SERVICE_LINK.fullmatch(name):
            continue
        tail = upper.removeprefix(_OURS).removeprefix("DISPATCH_")
        same = [it for it in (f"{_OURS}{tail}", f"DISPATCH_{tail}") if it in known]
        alike = same[0] if same else nearest(upper, known)
        if upper.startswith(_OURS) or alike:
            alike = alike or nearest(upper, known, cutoff=0.0)
            problems.append(f"{name}: there is no such setting; did you mean {alike}?")
    return problems


def _options(environ: Mapping[str, str], plugin: str, others: Iterable[str] = ()) -> dict[str, str]:
    """Return the variables that start with a plugin's name, as its options.

    ``STRIPE_UK_API_KEY`` belongs to ``stripe-uk`` and not to ``stripe``, if it is among `others`.
    """
    start = prefix(plugin)
    longer = tuple(it for it in map(prefix, others) if it != start and it.startswith(start))
    return {
        name.removeprefix(start).lower(): value
        for name, value in environ.items()
        if name.startswith(start) and not name.startswith(longer) and value
    }
