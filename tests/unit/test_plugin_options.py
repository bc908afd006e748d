"""A plugin's options: declared once, read from its variables, explained without their values."""

from __future__ import annotations

from itertools import chain
from typing import Self

import pytest
from pydantic import Field, SecretStr

from dispatch_returns.errors import ConfigurationError, InvalidArgumentError
from dispatch_returns.plugins import PluginOptions, Secrets
from dispatch_returns.plugins.entry_points import Plugins
from dispatch_returns.plugins.options import nearest, read_options, variables, variables_set
from dispatch_returns.returns.notifications.smtp import SmtpOptions
from tests.support.settings_table import KINDS, plugins

OURS: list[tuple[str, type[PluginOptions]]] = [
    *chain.from_iterable(plugins(kind).items() for kind in KINDS),
    ("smtp", SmtpOptions),
]


class AcmeOptions(PluginOptions):
    api_key: SecretStr = Field(description="the API key, from [Acme's](https://acme.example) page")
    timeout: float = Field(default=30, gt=0, description="seconds for each step of a call")
    webhook_secrets: Secrets = Field(default=(), validation_alias="webhook_secret")


class Acme:
    options_model = AcmeOptions

    def __init__(self, api_key: str) -> None:
        if not api_key.startswith("acme_"):
            raise InvalidArgumentError("api_key", "is not one of Acme's: it starts with acme_")

    @classmethod
    def from_options(cls, options: AcmeOptions) -> Self:
        return cls(options.api_key.get_secret_value())


def read(**given: str) -> AcmeOptions:
    return read_options(AcmeOptions, "acme-pay", given)


def test_options_are_read_by_their_variables() -> None:
    options = read(api_key="s3cret", timeout="5", webhook_secret="a, b,")
    assert (options.timeout, [it.get_secret_value() for it in options.webhook_secrets]) == (
        5,
        ["a", "b"],
    )
    assert "s3cret" not in repr(options)


def test_an_empty_option_is_not_set() -> None:
    assert read(api_key="k", timeout="").timeout == 30


def test_everything_wrong_is_named_at_once_with_what_it_should_be_and_without_its_value() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(timeout="s3cret", webhook_secrets="s3cret")
    assert str(caught.value) == (
        "ACME_PAY_WEBHOOK_SECRETS: there is no such setting; did you mean ACME_PAY_WEBHOOK_SECRET?"
        "; ACME_PAY_API_KEY: is not set (the API key, from Acme's page)"
        "; ACME_PAY_TIMEOUT: Input should be a valid number, unable to parse string as a number"
        " (seconds for each step of a call)"
    )
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("misspelt", ["api_keyy", "apikey", "timout", "webhook_secrets"])
def test_a_misspelt_option_is_refused(misspelt: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"ACME_PAY_{misspelt.upper()}: there is no"):
        read(api_key="k", **{misspelt: "1"})


@pytest.mark.parametrize("foreign", ["log", "api_version", "publishable_key", "service_host"])
def test_a_variable_of_another_program_is_left_alone(foreign: str) -> None:
    assert read(api_key="k", **{foreign: "1"}) == read(api_key="k")


def test_only_the_plugins_own_variables_are_listed() -> None:
    given = {"api_key": "k", "log": "info", "webhook_secret": "w"}
    found = variables_set(AcmeOptions, "acme-pay", given)
    assert found == ["ACME_PAY_API_KEY", "ACME_PAY_WEBHOOK_SECRET"]


def test_a_plugins_own_objection_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_plugins: object, _name: str) -> type[Acme]:
        return Acme

    monkeypatch.setattr(Plugins, "load", load)
    plugins_of_acme: Plugins[Acme] = Plugins("acme", "test")
    with pytest.raises(ConfigurationError, match=r"^ACME_API_KEY: is not one of Acme's") as caught:
        plugins_of_acme.build("acme", {"api_key": "s3cret"})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(("name", "model"), OURS)
def test_each_option_of_ours_says_what_it_is(name: str, model: type[PluginOptions]) -> None:
    assert [option for option, field in model.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(("name", "model"), OURS)
def test_no_secret_option_of_ours_is_plain_text(name: str, model: type[PluginOptions]) -> None:
    words = ("secret", "token", "password", "api_key")
    plain = [
        option
        for option, field in model.model_fields.items()
        if any(word in option for word in words) and "SecretStr" not in str(field.annotation)
    ]
    assert plain == []


def test_plugins_that_share_a_name_do_not_take_each_others_options_for_misspelt_ones() -> None:
    # An adapter and an order source of one shop read the same variables.
    for name, model in OURS:
        own = {it.lower() for it in variables(model, name).values()}
        for other, theirs in OURS:
            if other == name:
                foreign = {it.lower() for it in variables(theirs, other).values()} - own
                assert [it for it in foreign if nearest(it, own)] == []
