"""The notifier that the settings ask for is the one the connector tells customers with."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatch_returns.client import DispatchClient
from dispatch_returns.connector.build import parts_of
from dispatch_returns.connector.settings import Settings
from dispatch_returns.errors import ConfigurationError

POLICY = str(Path(__file__).parents[3] / "examples" / "policy.toml")
SMTP = {"host": "mail.acme.example", "from": "returns@acme.example"}


@pytest.mark.parametrize(
    ("notifications", "name"),
    [((), None), (("comments",), "comments"), (("smtp", "comments"), "comments+smtp")],
)
def test_it_is_built_by_name(notifications: tuple[str, ...], name: str | None) -> None:
    parts = parts_of(_settings(notifications=notifications, smtp_options=SMTP), _client())
    assert parts is not None
    assert (parts.notifier and parts.notifier.name) == name


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="pigeons"):
        parts_of(_settings(notifications=("pigeons",)), _client())


def _client() -> DispatchClient:
    return DispatchClient("sk", "ws", base_url="http://127.0.0.1:9/v1")


def _settings(**given: object) -> Settings:
    return Settings.model_validate(
        {"api_key": "sk", "workspace": "ws", "policy": (POLICY,), **given}
    )
