"""A plugin's options, declared once: how they are read, checked, explained and listed.

A plugin names its model in ``options_model``. Each field has a description, from which the errors
and the table in docs/settings.md are made; a secret is a ``SecretStr``::

    class AcmeOptions(PluginOptions):
        api_key: SecretStr = Field(description="the API key, from Acme's dashboard")
        timeout: float = Field(default=30, gt=0, description="seconds for each step of a call")

``ACME_API_KEY`` then sets ``api_key`` of the plugin called ``acme``.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from dispatch_returns.errors import ConfigurationError, InvalidArgumentError

O = TypeVar("O", bound="PluginOptions")  # noqa: E741 - its value is never confused with a zero

_ALIKE = 0.85
"""From here on two names count as one, misspelt: ``api_keyy``, but not ``api_version``."""
_LINK, _TEXT = re.compile(r"\[([^]]*)\]\([^)]*\)"), r"\1"
"""A link in Markdown, and what of it a terminal shows."""


class PluginOptions(BaseModel):
    """What a plugin is built from. Subclass it; a plugin without options uses it as it is.

    A field is set by its name in capitals after the plugin's; a ``validation_alias`` replaces the
    name: ``sender`` of ``smtp`` is ``SMTP_FROM``. An empty variable counts as one that is not set.
    """

    model_config = ConfigDict(
        frozen=True, populate_by_name=True, hide_input_in_errors=True, loc_by_alias=False
    )


def split(value: str, separator: str = ",") -> list[str]:
    """Return the parts of `value` that are not empty, without the blanks around them."""
    return [part.strip() for part in value.split(separator) if part.strip()]


def _list(value: Any) -> Any:
    return tuple(split(value)) if isinstance(value, str) else value


CommaSeparated = Annotated[tuple[str, ...], BeforeValidator(_list)]
"""Several values, written with commas between them."""
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_list)]
"""Several secrets, written with commas between them: two while one is rotated."""


def prefix(plugin: str) -> str:
    """Return how the variables of a plugin start: ``ACME_PAY_`` for ``acme-pay``."""
    return re.sub(r"[^A-Za-z0-9]", "_", plugin).upper() + "_"


def variables(model: type[PluginOptions], plugin: str) -> dict[str, str]:
    """Return the environment variable of each field."""
    names = ((name, field.validation_alias or name) for name, field in model.model_fields.items())
    return {name: f"{prefix(plugin)}{option}".upper() for name, option in names}


def variables_set(model: type[PluginOptions], plugin: str, given: Mapping[str, str]) -> list[str]:
    """Return the variables that are set in `given`, sorted, without those of other programs."""
    known = set(variables(model, plugin).values())
    return sorted(known & {f"{prefix(plugin)}{option}".upper() for option in given})


def read_options(model: type[O], plugin: str, given: Mapping[str, str]) -> O:
    """Return the options that are `given` by their lower-case names: ``api_key``.

    Raises `ConfigurationError`, which names every variable that is missing, wrong, or nearly one
    of the plugin's. Any other name is left alone: ``STRIPE_LOG`` belongs to another program.
    """
    names = variables(model, plugin)
    by_option = {name.removeprefix(prefix(plugin)).lower(): field for field, name in names.items()}
    values = {by_option[option]: text for option, text in given.items() if option in by_option}
    problems = [
        f"{prefix(plugin)}{option.upper()}: there is no such setting; did you mean"
        f" {names[by_option[meant]]}?"
        for option in sorted(given.keys() - by_option.keys())
        if (meant := nearest(option, by_option)) is not None
    ]
    try:
        options = model.model_validate({name: text for name, text in values.items() if text != ""})
    except ValidationError as error:
        problems += explain(error, model.model_fields, names)
        raise ConfigurationError("; ".join(problems)) from None
    if problems:
        raise ConfigurationError("; ".join(problems))
    return options


def nearest(name: str, known: Iterable[str], cutoff: float = _ALIKE) -> str | None:
    """Return the known name that `name` is probably meant to be, None if it is another name."""
    import difflib  # here: only a name that is not known needs it

    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


def explain(
    error: ValidationError, fields: Mapping[str, FieldInfo], names: Mapping[str, str]
) -> list[str]:
    """Return what is wrong with each variable and what it should be, and never its value."""
    problems: list[str] = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        field = str(problem["loc"][0]) if problem["loc"] else ""
        missing = problem["type"] == "missing"
        what = "is not set" if missing else problem["msg"].removeprefix("Value error, ")
        meant = (fields[field].description if field in fields else None) or ""
        hint = f" ({_LINK.sub(_TEXT, meant)})" if meant else ""
        problems.append(f"{names.get(field, field)}: {what}{hint}")
    return problems


@contextmanager
def named_by_variable(model: type[PluginOptions], plugin: str) -> Generator[None]:
    """Name the variable, not the argument, in an `InvalidArgumentError` of the plugin's own."""
    try:
        yield
    except InvalidArgumentError as error:
        variable = variables(model, plugin).get(error.argument)
        if variable is None:
            raise
        problem = str(error).removeprefix(f"{error.argument}: ")
        raise ConfigurationError(f"{variable}: {problem}") from None
