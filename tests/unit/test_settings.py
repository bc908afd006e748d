"""Settings: every variable, and errors that name variables and never what is in them."""

from __future__ import annotations

import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

import dispatch_returns
from dispatch_returns.connector.settings import VARIABLES, Settings, read_one
from dispatch_returns.errors import ConfigurationError

NEEDED = {"DISPATCH_API_KEY": "sk_live_secret", "DISPATCH_WORKSPACE": "ws_1"}


def from_env(**variables: str) -> Settings:
    return Settings.from_env(NEEDED | variables)


def test_two_variables_are_enough() -> None:
    settings = from_env()
    assert settings.api_key == SecretStr("sk_live_secret")
    assert settings.model_dump(exclude={"api_key"}) == {
        "workspace": "ws_1",
        "webhook_secrets": (),
        "base_url": "https://api.dispatchtickets.com/v1",
        "style": "workspaces",
        "database_url": "sqlite:///dispatch-returns.db",
        "adapters": ("stripe",),
        "adapter_options": {"stripe": {}},
        "stripe_search": False,
        "kill_switch": False,
        "dry_run": False,
        "max_refund": {},
        "max_per_day": {},
        "adapter_max_refund": {},
        "adapter_max_per_day": {},
        "approve_above": {},
        "evidence": {"received_date": frozenset()},
        "policy": (),
        "orders": ("ticket",),
        "order_options": {"ticket": {}},
        "labels": "printable",
        "label_options": {},
        "return_address": None,
        "language": "en",
        "notifications": ("comments",),
        "notification_templates": None,
        "shop": "",
        "portal_url": None,
        "portal_logo": None,
        "portal_accent": "#2f5bea",
        "portal_templates": None,
        "smtp_options": {},
        "workers": 4,
        "handler_limit": 60,
        "handler_tracebacks": True,
        "reconcile_every": 24,
        "reconcile_days": 7,
        "keep_events": None,
        "requested_status": "return_requested",
        "check_status": "eligibility_check",
        "approved_status": "approved",
        "label_sent_status": "label_sent",
        "received_status": "item_received",
        "refunded_status": "refunded",
        "review_status": "needs_review",
        "rejected_status": "rejected",
        "expired_status": "expired",
        "cancelled_status": "cancelled",
    }


EVERY: dict[str, tuple[str, Any]] = {
    "DISPATCH_API_KEY": ("sk_live_other", SecretStr("sk_live_other")),
    "DISPATCH_WORKSPACE": ("ws_2", "ws_2"),
    "DISPATCH_WEBHOOK_SECRET": (
        "whsec_1, whsec_2",
        (SecretStr("whsec_1"), SecretStr("whsec_2")),
    ),
    "DISPATCH_BASE_URL": ("http://localhost/v1", "http://localhost/v1"),
    "DISPATCH_STYLE": ("brands", "brands"),
    "DISPATCH_RETURNS_DATABASE_URL": ("sqlite:///other.db", "sqlite:///other.db"),
    "DISPATCH_RETURNS_ADAPTERS": ("manual, stripe-uk=stripe", ("manual", "stripe-uk=stripe")),
    "DISPATCH_RETURNS_STRIPE_SEARCH": ("true", True),
    "DISPATCH_RETURNS_KILL_SWITCH": ("on", True),
    "DISPATCH_RETURNS_DRY_RUN": ("1", True),
    "DISPATCH_RETURNS_MAX_REFUND": (
        "500 USD, 60000 jpy,0.5 EUR",
        {"USD": Decimal(500), "JPY": Decimal(60000), "EUR": Decimal("0.5")},
    ),
    "DISPATCH_RETURNS_MAX_PER_DAY": ("5000 USD", {"USD": Decimal(5000)}),
    "DISPATCH_RETURNS_ADAPTER_MAX_REFUND": (
        "stripe=200 USD, stripe=150 EUR",
        {"stripe": {"USD": Decimal(200), "EUR": Decimal(150)}},
    ),
    "DISPATCH_RETURNS_ADAPTER_MAX_PER_DAY": ("stripe=9 USD", {"stripe": {"USD": Decimal(9)}}),
    "DISPATCH_RETURNS_APPROVE_ABOVE": ("0 USD", {"USD": Decimal(0)}),
    "DISPATCH_RETURNS_EVIDENCE": (
        "received_date, condition = good | like_new,x=1 2",
        {
            "received_date": frozenset(),
            "condition": frozenset({"good", "like_new"}),
            "x": frozenset({"1 2"}),
        },
    ),
    "DISPATCH_RETURNS_POLICY": ("old.toml, new.toml", ("old.toml", "new.toml")),
    "DISPATCH_RETURNS_ORDERS": ("ticket,shopify", ("ticket", "shopify")),
    "DISPATCH_RETURNS_LABELS": ("easypost", "easypost"),
    "DISPATCH_RETURNS_RETURN_ADDRESS": ("Acme; Dock 3; 12345; Town; US",) * 2,
    "DISPATCH_RETURNS_LANGUAGE": ("de", "de"),
    "DISPATCH_RETURNS_NOTIFICATIONS": ("comments, smtp", ("comments", "smtp")),
    "DISPATCH_RETURNS_NOTIFICATION_TEMPLATES": ("templates", "templates"),
    "DISPATCH_RETURNS_SHOP": ("Acme", "Acme"),
    "DISPATCH_RETURNS_PORTAL_URL": ("https://a.example/returns", "https://a.example/returns"),
    "DISPATCH_RETURNS_PORTAL_LOGO": ("logo.svg", "logo.svg"),
    "DISPATCH_RETURNS_PORTAL_ACCENT": ("#aa3300", "#aa3300"),
    "DISPATCH_RETURNS_PORTAL_TEMPLATES": ("portal", "portal"),
    "DISPATCH_RETURNS_WORKERS": ("64", 64),
    "DISPATCH_RETURNS_HANDLER_LIMIT": ("5", 5),
    "DISPATCH_RETURNS_HANDLER_TRACEBACKS": ("off", False),
    "DISPATCH_RETURNS_RECONCILE_EVERY": ("0", 0),
    "DISPATCH_RETURNS_RECONCILE_DAYS": ("30", 30),
    "DISPATCH_RETURNS_KEEP_EVENTS": ("90", 90),
    "DISPATCH_RETURNS_REQUESTED_STATUS": ("asked", "asked"),
    "DISPATCH_RETURNS_CHECK_STATUS": ("checked", "checked"),
    "DISPATCH_RETURNS_APPROVED_STATUS": ("agreed", "agreed"),
    "DISPATCH_RETURNS_LABEL_SENT_STATUS": ("labelled", "labelled"),
    "DISPATCH_RETURNS_RECEIVED_STATUS": ("arrived", "arrived"),
    "DISPATCH_RETURNS_REJECTED_STATUS": ("refused", "refused"),
    "DISPATCH_RETURNS_EXPIRED_STATUS": ("over", "over"),
    "DISPATCH_RETURNS_CANCELLED_STATUS": ("storno", "storno"),
    "DISPATCH_RETURNS_REFUNDED_STATUS": ("paid_back", "paid_back"),
    "DISPATCH_RETURNS_REVIEW_STATUS": ("look", "look"),
}


def test_every_setting_has_a_variable_but_the_adapters_own() -> None:
    options = {"adapter_options", "label_options", "order_options", "smtp_options"}
    assert set(VARIABLES) == set(Settings.model_fields) - options
    assert set(VARIABLES.values()) == set(EVERY)


@pytest.mark.parametrize(("field", "variable"), VARIABLES.items())
def test_each_variable_sets_its_setting(field: str, variable: str) -> None:
    text, expected = EVERY[variable]
    assert getattr(from_env(**{variable: text}), field) == expected


@pytest.mark.parametrize("variable", sorted(set(EVERY) - set(NEEDED)))
def test_an_empty_variable_is_not_set(variable: str) -> None:
    assert from_env(**{variable: ""}) == from_env()


def test_what_is_missing_is_named_all_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({"DISPATCH_STYLE": "both"})
    assert str(caught.value) == (
        "DISPATCH_API_KEY: is not set (the key of the Dispatch API);"
        " DISPATCH_WORKSPACE: is not set (the workspace's id);"
        " DISPATCH_STYLE: Input should be 'workspaces' or 'brands'"
        " (the wire style of the API: `workspaces` or `brands`)"
    )
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("DISPATCH_STYLE", "s3cret"),
        ("DISPATCH_RETURNS_KILL_SWITCH", "s3cret"),
        ("DISPATCH_RETURNS_DRY_RUN", "s3cret"),
        ("DISPATCH_RETURNS_STRIPE_SEARCH", "s3cret"),
        ("DISPATCH_RETURNS_WORKERS", "s3cret"),
        ("DISPATCH_RETURNS_WORKERS", "0"),
        ("DISPATCH_RETURNS_WORKERS", "65"),
        *[
            ("DISPATCH_RETURNS_EVIDENCE", text)
            for text in (",", "=good", "condition=", "condition= |", "a=b=c", "s3cret condition")
        ],
        *[
            (f"DISPATCH_RETURNS_{name}", text)
            for name in ("MAX_REFUND", "MAX_PER_DAY", "APPROVE_ABOVE")
            for text in (
                "s3cret",
                "500",
                "USD",
                "500 DOLLARS",
                "-1 USD",
                "NaN USD",
                "Infinity USD",
                "1e3 USD",
                "1,000 USD",
                "500 USD, 600 USD",
                "500 USD, 600 usd",
                ",",
                "\N{ARABIC-INDIC DIGIT FIVE} USD",
            )
        ],
    ],
)
def test_what_is_wrong_is_named_and_not_shown(variable: str, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_env(**{variable: text})
    assert str(caught.value).startswith(f"{variable}: ")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("DISPATCH_RETURNS_DRYRUN", "DISPATCH_RETURNS_DRY_RUN"),
        ("dispatch_returns_dry_run", "DISPATCH_RETURNS_DRY_RUN"),
        ("DISPATCH_DRY_RUN", "DISPATCH_RETURNS_DRY_RUN"),
        ("DISPATCH_RETURNS_API_KEY", "DISPATCH_API_KEY"),
        ("DISPATCH_WEBHOOK_SECRETS", "DISPATCH_WEBHOOK_SECRET"),
        ("DISPATCH_RETURNS_MAXIMUM_REFUND", "DISPATCH_RETURNS_MAX_REFUND"),
        ("DISPATCH_RETURNS_XYZ", "DISPATCH_RETURNS_"),
    ],
)
def test_a_setting_that_does_not_exist_is_refused(misspelt: str, meant: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_env(**{misspelt: "s3cret"})
    assert str(caught.value).startswith(f"{misspelt}: there is no such setting; did you mean ")
    assert meant in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_what_is_misspelt_and_what_is_missing_are_named_together() -> None:
    with pytest.raises(ConfigurationError, match=r"DRYRUN: there is no .*; DISPATCH_API_KEY: is"):
        Settings.from_env({"DISPATCH_RETURNS_DRYRUN": "1"})


@pytest.mark.parametrize(
    "name",
    [
        "DISPATCH_QUEUE",  # another program's
        "DISPATCHER_API_KEY",
        "DISPATCH_RETURNS_SERVICE_HOST",  # a service of this name in Kubernetes
        "DISPATCH_RETURNS_SERVICE_PORT_HTTP",
        "DISPATCH_RETURNS_PORT",
        "DISPATCH_RETURNS_PORT_8000_TCP_ADDR",
    ],
)
def test_what_others_set_is_left_alone(name: str) -> None:
    assert from_env(**{name: "tcp://10.0.0.1:8000"}) == from_env()


def test_a_plugin_called_dispatch_has_its_variables() -> None:
    settings = from_env(
        DISPATCH_RETURNS_ADAPTERS="dispatch-returns-acme", DISPATCH_RETURNS_ACME_KEY="k"
    )
    assert settings.adapter_options == {"dispatch-returns-acme": {"key": "k"}}


def test_an_adapters_own_variables_start_with_its_name() -> None:
    settings = from_env(
        DISPATCH_RETURNS_ADAPTERS="acme-pay",
        ACME_PAY_API_KEY="k",
        ACME_PAY_TIMEOUT="5",
        ACME_PAY_EMPTY="",
        STRIPE_API_KEY="other",
    )
    assert settings.adapter_options == {"acme-pay": {"api_key": "k", "timeout": "5"}}
    assert from_env(STRIPE_API_KEY="sk").adapter_options == {"stripe": {"api_key": "sk"}}


def test_the_same_adapter_twice_has_its_own_variables_for_each_account() -> None:
    settings = from_env(
        DISPATCH_RETURNS_ADAPTERS="stripe, stripe-uk = stripe",
        STRIPE_API_KEY="ours",
        STRIPE_UK_API_KEY="theirs",
    )
    assert settings.adapter_plugins == {"stripe": "stripe", "stripe-uk": "stripe"}
    assert settings.adapter_options == {
        "stripe": {"api_key": "ours"},
        "stripe-uk": {"api_key": "theirs"},
    }


@pytest.mark.parametrize(
    ("adapters", "problem"),
    [
        ("stripe, stripe", "two adapters are called stripe"),
        ("stripe-uk=stripe, stripe_uk=stripe", "two adapters are called stripe-uk"),
        ("Stripe UK=stripe", "not 'Stripe UK=stripe'"),
        ("stripe-uk=", "not 'stripe-uk='"),
        ("dispatch=stripe", "Dispatch's own events arrive"),
    ],
)
def test_a_name_of_an_adapter_must_be_one_for_a_path(adapters: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as said:
        from_env(DISPATCH_RETURNS_ADAPTERS=adapters)
    assert str(said.value).startswith("DISPATCH_RETURNS_ADAPTERS: ")


def test_a_cap_for_an_adapter_that_there_is_not_would_limit_nothing() -> None:
    with pytest.raises(ConfigurationError, match="there is no adapter paypall, only: stripe"):
        from_env(DISPATCH_RETURNS_ADAPTER_MAX_REFUND="paypall=200 USD")
    with pytest.raises(ConfigurationError, match="paypal=200 USD"):
        from_env(DISPATCH_RETURNS_ADAPTER_MAX_PER_DAY="200 USD")


def test_nothing_secret_is_shown() -> None:
    secrets = {
        "DISPATCH_API_KEY": "sk_live_secret",
        "DISPATCH_WEBHOOK_SECRET": "whsec_secret",
        "STRIPE_API_KEY": "sk_secret",
        "DISPATCH_RETURNS_DATABASE_URL": "postgresql://me:secret@db/returns",
    }
    settings = from_env(**secrets)
    assert "secret" not in repr(settings).replace("webhook_secrets", "").replace("SecretStr", "")
    assert "secret" not in str(settings).replace("webhook_secrets", "").replace("SecretStr", "")


def test_settings_can_be_built_in_python() -> None:
    settings = Settings(
        api_key=SecretStr("k"), workspace="ws_1", max_refund={"USD": Decimal(1)}, evidence={}
    )
    assert (settings.max_refund, settings.evidence) == ({"USD": Decimal(1)}, {})
    with pytest.raises(ValidationError):
        settings.workspace = "ws_2"


def test_a_mistake_in_python_shows_no_value() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(api_key=SecretStr("k"), workspace="ws_1", wrokers="s3cret")  # type: ignore[call-arg]
    assert "wrokers" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_the_processs_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    assert Settings.from_env().workspace == "ws_1"
    assert read_one("workspace") == "ws_1"
    assert read_one("database_url") is None
    assert read_one("database_url", {"DISPATCH_RETURNS_DATABASE_URL": "x"}) == "x"
    assert read_one("database_url", {"DISPATCH_RETURNS_DATABASE_URL": ""}) is None


def test_nobody_else_reads_the_environment() -> None:
    source = Path(dispatch_returns.__file__).parent
    readers = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if re.search(r"os\.environ|os\.getenv|getenv\(", path.read_text(encoding="utf-8"))
    }
    assert readers == {"environment.py"}
    assert os.environ


def test_each_order_source_gets_the_variables_of_its_name() -> None:
    settings = from_env(
        DISPATCH_RETURNS_ORDERS="sql, shopify", SQL_URL="sqlite://", SHOPIFY_SHOP="acme", SQLX="1"
    )
    assert settings.order_options == {"sql": {"url": "sqlite://"}, "shopify": {"shop": "acme"}}
    assert "sqlite" not in repr(settings)


def test_no_order_source_at_all_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="DISPATCH_RETURNS_ORDERS"):
        from_env(DISPATCH_RETURNS_ORDERS=",")


def test_the_mail_servers_options_are_taken_from_their_variables() -> None:
    settings = from_env(SMTP_HOST="mail.acme.com", SMTP_PASSWORD="s3cret")
    assert settings.smtp_options == {"host": "mail.acme.com", "password": "s3cret"}
    assert "s3cret" not in repr(settings)
