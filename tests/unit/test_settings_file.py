"""Settings from a .env file and from a TOML file: the same settings, and errors that show none."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from dispatch_returns.connector.settings import Settings, use_file
from dispatch_returns.errors import ConfigurationError

ENV = """
# the shop's
export DISPATCH_API_KEY="sk_test_1"
DISPATCH_WORKSPACE=ws_1   # ours
DISPATCH_WEBHOOK_SECRET='whsec_${HOME}$x'
DISPATCH_RETURNS_MAX_REFUND=500 USD, 60000 JPY
DISPATCH_RETURNS_DRY_RUN=
STRIPE_API_KEY=sk_stripe
"""
TOML = """
api_key = "sk_test_1"
workspace = "ws_1"
webhook_secrets = ["whsec_1", "whsec_2"]
dry_run = true
workers = 8
policy = ["a.toml", "b.toml"]
max_refund = { USD = 500, EUR = 0.5 }
max_per_day = "5000 USD"
evidence = { received_date = [], condition = ["good", "like_new"] }

[stripe]
api_key = "sk_stripe"
timeout = 5
"""


def read(folder: Path, name: str, text: str, **environ: str) -> Settings:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return Settings.from_env(environ, env_file=file)


def test_a_env_file_sets_what_the_environment_does_not(tmp_path: Path) -> None:
    settings = read(tmp_path, ".env", ENV, DISPATCH_WORKSPACE="ws_2")
    assert (settings.api_key, settings.workspace) == (SecretStr("sk_test_1"), "ws_2")
    assert settings.webhook_secrets == (SecretStr("whsec_${HOME}$x"),)
    assert settings.max_refund == {"USD": Decimal(500), "JPY": Decimal(60000)}
    assert settings.adapter_options == {"stripe": {"api_key": "sk_stripe"}}


def test_a_toml_file_sets_each_setting_by_its_name(tmp_path: Path) -> None:
    settings = read(tmp_path, "dispatch-returns.toml", TOML, DISPATCH_RETURNS_WORKERS="2")
    assert settings.webhook_secrets == (SecretStr("whsec_1"), SecretStr("whsec_2"))
    assert (settings.dry_run, settings.workers, settings.policy) == (True, 2, ("a.toml", "b.toml"))
    assert settings.max_refund == {"USD": Decimal(500), "EUR": Decimal("0.5")}
    assert settings.max_per_day == {"USD": Decimal(5000)}
    assert settings.evidence == {
        "received_date": frozenset(),
        "condition": frozenset({"good", "like_new"}),
    }
    assert settings.adapter_options == {"stripe": {"api_key": "sk_stripe", "timeout": "5"}}


def test_a_variable_that_is_empty_unsets_what_the_file_sets(tmp_path: Path) -> None:
    settings = read(tmp_path, "s.toml", TOML, DISPATCH_RETURNS_DRY_RUN="")
    assert settings.dry_run is False


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (".env", "DISPATCH_API_KEY=k\ns3cret\n", "line 2: not a setting; write NAME=value"),
        (".env", "DISPATCH_API_KEY='s3cret\n", "line 1: not a setting; write NAME=value"),
        (".env", "DISPATCH_RETURNS_DRYRUN=s3cret", "DISPATCH_RETURNS_DRYRUN: there is no such"),
        ("a.toml", "api_key = s3cret", r"is not TOML \(at line 1, column 11\): write settings as"),
        ("a.toml", "dryrun = 's3cret'", "dryrun: there is no such setting; did you mean dry_run?"),
        ("a.toml", "policy = ['s3cret,x']", "policy: write a text, a number, true or false, or"),
        ("a.toml", "[stripe]\napi_key = 2024-01-01", "stripe.api_key: write a text, a number,"),
        ("a.toml", "max_refund = {USD = -1}", "DISPATCH_RETURNS_MAX_REFUND: "),
    ],
)
def test_what_is_wrong_in_a_file_is_named_and_not_shown(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        read(tmp_path, name, text)
    assert "s3cret" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.env cannot be read: No such file"):
        Settings.from_env({}, env_file=tmp_path / "no.env")


def test_the_command_sets_a_files_variables_only_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCH_WORKSPACE", "ws_2")
    monkeypatch.delenv("DISPATCH_API_KEY", raising=False)
    (tmp_path / ".env").write_text(ENV)
    with use_file(tmp_path / ".env"):
        assert (os.environ["DISPATCH_API_KEY"], os.environ["DISPATCH_WORKSPACE"]) == (
            "sk_test_1",
            "ws_2",
        )
    assert "DISPATCH_API_KEY" not in os.environ
