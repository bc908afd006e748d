"""All commands, and how one is run.

A new command of ours is registered here and nowhere else. Commands of other packages, `demo` and
`sandbox` among them, are found by the entry point ``dispatch_returns.commands``.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from dispatch_returns._version import __version__
from dispatch_returns.cli import (
    customers,
    db,
    doctor,
    events,
    examples,
    health,
    labels,
    listen,
    notifications,
    policy,
    reconcile,
    refund_runs,
    refunds,
    returns,
    serve,
    setup,
    switch,
    trigger,
    webhooks,
)
from dispatch_returns.cli.errors import explain, fail
from dispatch_returns.cli.output import warn
from dispatch_returns.errors import DispatchReturnsError

_EPILOG = (
    "Exit codes: 0 all is well, 1 something is wrong or was refused, 2 wrong usage, 3 a setting"
    " is missing or wrong, 4 the API or the database cannot be reached, 130 Ctrl-C. With --json,"
    ' stdout always holds one JSON document: {"error": {...}} if something failed.'
)

app = typer.Typer(
    help="Returns as tickets in Dispatch, refunds through Stripe, each paid exactly once.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for entry in sorted(entry_points(group="dispatch_returns.commands")):
    try:
        app.command(entry.name)(entry.load())
    except Exception as error:  # noqa: BLE001 - a broken package must not break all commands
        package = entry.dist.name if entry.dist else "an unknown package"
        warn(f"the command {entry.name} of {package} cannot be imported: {error}")
app.command("setup")(setup.setup)
app.command("doctor")(doctor.doctor)
app.command("serve")(serve.serve)
app.command("worker")(serve.worker)
app.command("listen")(listen.listen)
app.command("trigger")(trigger.trigger)
app.command("reconcile")(reconcile.reconcile)
app.command("health")(health.health)
app.command("switch")(switch.switch)
app.command("audit-log")(switch.audit_log)
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(events.app, name="events")
app.command("receive")(returns.receive)
app.command("timeline")(returns.timeline)
app.add_typer(returns.app, name="returns")
refunds.app.command("pay")(refund_runs.pay)
refunds.app.command("export")(refund_runs.export)
app.add_typer(refunds.app, name="refunds")
app.add_typer(policy.app, name="policy")
app.add_typer(db.app, name="db")
app.add_typer(customers.app, name="customers")
app.add_typer(labels.app, name="labels")
app.command("label", hidden=True)(labels.sample)
app.add_typer(notifications.app, name="notifications")
app.add_typer(examples.app, name="examples")


_ENV_FILE = "--env-file"


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"dispatch-returns {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    _env_file: Annotated[
        Path | None,
        typer.Option(
            _ENV_FILE,
            metavar="FILE",
            help="Settings that the environment lacks: a .env file, or a TOML file. May also stand"
            " after the command.",
        ),
    ] = None,
) -> None:
    """Define the options of the command itself."""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    # Read here, because a usage error ends the parsing before the option is read.
    as_json = "--json" in arguments
    env_file, rest = _env_file_in(arguments)
    try:
        with contextlib.nullcontext() if env_file is None else _settings_of(env_file):
            # In standalone mode typer shows its own errors, with the usage line, and exits.
            result: object = app(rest, prog_name="dispatch-returns", standalone_mode=not as_json)
            return result if isinstance(result, int) else 0
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    except DispatchReturnsError as error:
        code, message = explain(error)
        fail(type(error).__name__, message, as_json=as_json)
        return code
    except typer.TyperException as error:
        fail("UsageError", error.format_message(), as_json=as_json)
        return error.exit_code


def _env_file_in(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the file that ``--env-file`` names, wherever it stands, and the other arguments."""
    rest = list(arguments)
    for place, word in enumerate(rest):
        name, equals, value = word.partition("=")
        if name == _ENV_FILE and (equals or len(rest) > place + 1):
            value = value if equals else rest.pop(place + 1)
            return value, rest[:place] + rest[place + 1 :]
    return None, rest


def _settings_of(env_file: str) -> contextlib.AbstractContextManager[None]:
    from dispatch_returns.connector.settings import use_file  # here: --help must stay quick

    return use_file(env_file)
