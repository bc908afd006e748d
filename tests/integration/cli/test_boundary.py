"""Where the command meets the world: its arguments, its errors, its signals, its speed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from dispatch_returns import __version__, cli, errors
from dispatch_returns.cli.app import app
from dispatch_returns.cli.errors import explain
from dispatch_returns.connector.build import adapters_of
from dispatch_returns.connector.settings import Settings
from dispatch_returns.errors import AdapterError, DispatchReturnsError, ErrorKind
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.registry import available
from dispatch_returns.refunds.transitions import State
from dispatch_sandbox.stripe import Fault
from tests.support.cli import COMMAND, PATIENCE, Shop, run, started
from tests.support.waiting import wait_until


def commands() -> Iterator[tuple[str, ...]]:
    """Every command there is, by its words."""

    def below(command: object, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield words
        else:
            for name, one in inner.items():
                yield from below(one, (*words, name))

    yield from below(get_command(app), ())


COMMANDS = sorted(commands())


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return str(taken.getsockname()[1])


# Arguments.


def test_all_commands_are_there() -> None:
    assert {" ".join(words) for words in COMMANDS} >= {
        "sandbox", "setup", "doctor", "serve", "worker", "trigger", "db upgrade",
        "events list", "events show", "events replay", "refunds list", "refunds show",
        "refunds retry", "refunds approve", "refunds cancel", "refunds confirm",
    }  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_json(words: tuple[str, ...]) -> None:
    said = run(*words, "--help")
    assert said.code == 0
    assert "--json" in said.out
    assert max(map(len, said.out.splitlines())) <= 80


GROUPS = sorted({words[:-1] for words in COMMANDS})


@pytest.mark.parametrize("words", GROUPS, ids=lambda words: " ".join(words) or "all")
def test_what_a_command_does_is_said_whole_in_the_list(words: tuple[str, ...]) -> None:
    listed = run(*words, "--help").out.partition("Commands:")[2].partition("Exit codes")[0]
    assert listed
    assert [line for line in listed.splitlines() if line.endswith("...")] == []


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_an_unknown_option_is_a_usage_error(words: tuple[str, ...]) -> None:
    said = run(*words, "--nonsense")
    assert said.code == 2
    assert "--nonsense" in said.err
    assert "Usage: dispatch-returns" in said.err
    document = run(*words, "--nonsense", "--json").json
    assert document["error"]["type"] == "UsageError"
    assert "--nonsense" in document["error"]["message"]


def test_the_version_is_said() -> None:
    assert run("--version").out == f"dispatch-returns {__version__}\n"


@pytest.mark.parametrize("last", [True, False])
def test_settings_come_from_a_file_wherever_the_option_stands(tmp_path: Path, last: bool) -> None:
    file = tmp_path / "shop.env"
    file.write_text(f"DISPATCH_RETURNS_DATABASE_URL=sqlite:///{tmp_path}/none.db\n")
    option = [f"--env-file={file}"] if last else ["--env-file", str(file)]
    said = run(*(("refunds", "list", *option) if last else (*option, "refunds", "list")))
    assert said.code == 4
    assert f"{tmp_path}/none.db" in said.text


def test_a_settings_file_that_is_missing_is_named() -> None:
    said = run("doctor", "--env-file", "no.env", "--json")
    assert said.code == 3
    assert "the settings file no.env cannot be read" in said.json["error"]["message"]


def test_a_shell_is_told_what_may_follow() -> None:
    words = {"COMP_WORDS": "dispatch-returns refunds e", "COMP_CWORD": "2"}
    said = run(environment={"_DISPATCH_RETURNS_COMPLETE": "complete_bash", **words})
    assert said.out.split() == ["export"]
    assert "--install-completion" in run("--help").out


def test_python_m_runs_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dispatch_returns", "--version"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stdout == f"dispatch-returns {__version__}\n"


def test_help_names_the_exit_codes() -> None:
    said = run("-h")
    assert said.code == 0
    assert "Exit codes: 0 all is well" in said.text


def test_help_and_version_import_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from dispatch_returns.cli import main\n"
        "code = main([sys.argv[1]])\n"
        "heavy = {'httpx', 'sqlalchemy', 'stripe', 'uvicorn', 'starlette', 'alembic'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or code)"
    )
    for argument in ("--help", "--version"):
        done = subprocess.run(
            [sys.executable, "-c", program, argument],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_without_its_extra_it_says_what_to_install() -> None:
    for module in ("typer", "rich"):
        program = (
            "import sys\n"
            f"sys.modules[{module!r}] = None\n"
            "from dispatch_returns.cli import main\n"
            "sys.exit(main(['--help']))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 3
        assert 'pip install "dispatch-returns[cli]"' in done.stderr
        assert done.stderr.count("\n") == 1


# Errors.


def every_error() -> Iterator[type[DispatchReturnsError]]:
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, DispatchReturnsError):
            yield value


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigurationError("x"), 3),
        (errors.InvalidArgumentError("a", "x"), 3),
        (errors.MissingExtraError("stripe", "x"), 3),
        (errors.APITimeoutError("x"), 4),
        (errors.APIConnectionError("x"), 4),
        (errors.APIResponseError("x"), 4),
        (errors.PaginationError("x"), 4),
        (errors.ServerError("x", status_code=500), 4),
        (errors.RateLimitError("x", status_code=429), 4),
        (errors.AuthenticationError("x", status_code=401), 3),
        (errors.PermissionDeniedError("x", status_code=403), 3),
        (errors.NotFoundError("x", status_code=404), 1),
        (errors.ConflictError("x", status_code=409), 1),
        (errors.ValidationError("x", status_code=422), 1),
        (errors.StoreUnavailableError("x"), 4),
        (errors.LeaseLostError("x"), 1),
        (errors.StoreError("x"), 1),
        (errors.RefundStateError("x"), 1),
        (errors.MoneyError("x"), 1),
        (errors.SignatureError("x"), 1),
        (AdapterError(ErrorKind.NOT_SENT, "x"), 4),
        (AdapterError(ErrorKind.AUTH, "x"), 3),
        (AdapterError(ErrorKind.DISPUTED, "x"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_error_has_its_exit_code(error: DispatchReturnsError, code: int) -> None:
    found, said = explain(error)
    assert found == code
    assert said.startswith(("x", "a: x"))


def test_a_refusal_names_the_fields() -> None:
    problem = errors.FieldProblem("url", "must be on this machine")
    error = errors.ValidationError("no", status_code=422, errors=[problem])
    assert explain(error) == (1, "no: url: must be on this machine")


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise ZeroDivisionError

    monkeypatch.setattr("dispatch_returns.cli.db.database_url", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["db", "upgrade"])


def test_a_reader_that_goes_away_is_no_error(shop: Shop) -> None:
    shop.event("tkt_1")
    for form in ([], ["--json"]):
        popen = subprocess.Popen(
            [*COMMAND, "events", "list", *form],
            env={**os.environ, **shop.settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert popen.stdout is not None
        popen.stdout.close()
        _, err = popen.communicate(timeout=PATIENCE)
        assert err == b""


# Signals.


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_the_sandbox_ends_when_it_is_told_to(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with started("sandbox", "--port", "0", environment={}, until="Ctrl-C", cwd=tmp_path) as box:
        said = box.end(number)
    assert said.code == code
    assert said.err == ""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
@pytest.mark.parametrize("command", [["worker"], ["serve", "--port", "0"]], ids=" ".join)
def test_what_runs_for_long_ends_when_it_is_told_to(
    shop: Shop, command: list[str], number: signal.Signals, code: int
) -> None:
    with started(*command, environment=shop.settings, until="Ctrl-C", cwd=shop.folder) as process:
        said = process.end(number)
    assert said.code == code
    assert "Traceback" not in said.err


def test_ctrl_c_ends_even_a_command_that_waits(shop: Shop) -> None:
    """The first thing a worker does is to open the store; here that takes for ever."""
    program = (
        "import signal, sys, time\n"
        "from dispatch_returns.cli import db, main\n"
        # A shell that runs the tests in the background may have had it ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def wait():\n"
        "    print('waiting', flush=True)\n"
        "    time.sleep(60)\n"
        "db.database_url = wait\n"
        "sys.exit(main(['db', 'upgrade']))"
    )
    popen = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert popen.stdout is not None
    assert popen.stdout.readline() == "waiting\n"
    popen.send_signal(signal.SIGINT)
    out, err = popen.communicate(timeout=PATIENCE)
    assert (popen.returncode, out, err) == (130, "", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_refund_under_way_is_finished_before_the_end(shop: Shop, number: signal.Signals) -> None:
    with started("worker", environment=shop.settings, until="Ctrl-C", cwd=shop.folder) as process:
        ticket = being_paid(shop, seconds=2)
        process.end(number)
    assert shop.row(ticket).state == "succeeded"


def test_a_second_ctrl_c_waits_for_nothing(shop: Shop) -> None:
    with started("worker", environment=shop.settings, until="Ctrl-C", cwd=shop.folder) as process:
        ticket = being_paid(shop, seconds=25)
        process.send(signal.SIGINT)
        process.log("stopping")
        said = process.end(signal.SIGINT)
    assert said.code == -signal.SIGINT
    assert shop.row(ticket).state == "sending"


def being_paid(shop: Shop, seconds: float) -> str:
    """Have a refund sent to a Stripe that takes its time; return the ticket."""
    shop.box.state.stripe.faults.add(Fault(kind="slow", seconds=seconds))
    ticket = shop.ticket(payment_intent=shop.pay())
    shop.event(ticket)

    def is_sent() -> bool:
        with shop.store() as store, store.read() as conn:
            return [row.state for row in ledger.newest(conn, limit=1)] == [State.SENDING]

    wait_until(is_sent, PATIENCE)
    return ticket


# What runs for long, at work.


def test_the_sandbox_prints_what_points_everything_at_it(tmp_path: Path) -> None:
    arguments = ("sandbox", "--port", "0", "--json")
    with started(*arguments, environment={}, until="}", cwd=tmp_path) as process:
        said = process.end(signal.SIGTERM)
    variables = said.json["environment"]
    assert variables.keys() >= {
        "DISPATCH_API_KEY", "DISPATCH_WORKSPACE", "DISPATCH_BASE_URL",
        "STRIPE_API_KEY", "STRIPE_BASE_URL", "DISPATCH_RETURNS_DATABASE_URL",
    }  # fmt: skip
    # Each adapter of the package finds its double with what is printed for it.
    for name in set(available()) - {"manual"}:
        assert adapters_of(Settings.from_env(variables | {"DISPATCH_RETURNS_ADAPTERS": name}))


def test_the_sandbox_keeps_what_is_in_its_file(tmp_path: Path) -> None:
    arguments = ("sandbox", "--port", "0", "--json", "--file", "box.db")

    def environment(first: str) -> dict[str, str]:
        found: dict[str, str] = json.loads(first)["environment"]
        return found

    with started(*arguments, environment={}, until="}", cwd=tmp_path) as process:
        assert run("setup", environment=environment(process.first)).code == 0
        process.end(signal.SIGTERM)
    with started(*arguments, environment={}, until="}", cwd=tmp_path) as process:
        steps = run("setup", "--json", environment=environment(process.first)).json["steps"]
        process.end(signal.SIGTERM)
    assert {step["result"] for step in steps} == {"exists"}


@pytest.mark.parametrize("command", ["sandbox", "serve"])
def test_a_port_that_is_taken_is_one_sentence(shop: Shop, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = shop.run(command, "--port", port)
    assert said.code == 3
    assert said.err == (
        f"Error: cannot listen on 127.0.0.1, port {port}: Address already in use. Choose another"
        " with --port or --host\n"
    )


def test_a_host_that_does_not_exist_is_one_sentence() -> None:
    said = run("sandbox", "--host", "nowhere.invalid")
    assert said.code == 3
    assert said.err.count("\n") == 1


def test_a_sandbox_that_others_can_reach_warns(tmp_path: Path) -> None:
    arguments = ("sandbox", "--host", "0.0.0.0", "--port", "0")
    with started(*arguments, environment={}, until="Ctrl-C", cwd=tmp_path) as process:
        said = process.end(signal.SIGTERM)
    assert said.code == 0
    assert "warning: 0.0.0.0 can be reached by others" in said.text


def test_serving_without_a_secret_is_refused(shop: Shop) -> None:
    said = shop.run("serve", "--port", "0", DISPATCH_WEBHOOK_SECRET="")
    assert said.code == 3
    assert "every delivery would be refused" in said.err


def test_what_refuses_to_serve_makes_no_database(bare_shop: Shop) -> None:
    assert bare_shop.run("serve", "--port", "0", DISPATCH_WEBHOOK_SECRET="").code == 3
    assert list(bare_shop.folder.iterdir()) == []


def test_a_return_that_becomes_refunded_is_paid_while_it_serves(bare_shop: Shop) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/webhooks/dispatch"
    made = bare_shop.run("setup", "--webhook-url", url, "--json").json
    settings = {**bare_shop.settings, "DISPATCH_WEBHOOK_SECRET": made["webhook_secret"]}
    arguments = ("serve", "--port", port)
    with started(*arguments, environment=settings, until="Ctrl-C", cwd=bare_shop.folder) as process:
        assert url in process.first
        ticket = bare_shop.ticket(payment_intent=bare_shop.pay())
        listing = ("refunds", "list", "--state", "succeeded", "--json")
        wait_until(lambda: bool(bare_shop.offline(*listing).json["refunds"]), PATIENCE)
        said = process.end(signal.SIGTERM)
    assert bare_shop.row(ticket).state == "succeeded"
    assert said.code == 0
    assert "jane@example.com" not in said.err
    assert "Traceback" not in said.err


def test_other_paths_are_answered_with_the_right_one(shop: Shop) -> None:
    port = free_port()
    arguments = ("serve", "--port", port)
    with started(*arguments, environment=shop.settings, until="Ctrl-C", cwd=shop.folder):
        said = shop.run("trigger", f"http://127.0.0.1:{port}/hook", "--json")
        slash = shop.run("trigger", f"http://127.0.0.1:{port}/webhooks/dispatch/")
    assert said.code == 1
    assert said.json["status"] == 404
    assert "/webhooks/dispatch" in said.json["answer"]
    assert "/webhooks/stripe" in said.json["answer"]
    assert slash.code == 0


def test_a_worker_pays_what_is_due_and_exits(shop: Shop) -> None:
    ticket = shop.ticket(payment_intent=shop.pay())
    shop.event(ticket)
    said = shop.run("worker", "--once", "--json")
    assert said.code == 0
    assert said.json["steps"] >= 3
    assert shop.row(ticket).state == "succeeded"
    assert shop.run("worker", "--once").out == "Nothing more is due. Steps done: 0.\n"


def test_a_worker_takes_up_what_the_command_asks_for(shop: Shop) -> None:
    ticket = shop.ticket(payment_intent=shop.pay())
    with started("worker", environment=shop.settings, until="Ctrl-C", cwd=shop.folder) as process:
        shop.event(ticket)
        listing = ("refunds", "list", "--ticket", ticket, "--state", "succeeded", "--json")
        wait_until(lambda: bool(shop.offline(*listing).json["refunds"]), PATIENCE)
        process.end(signal.SIGINT)


def test_the_switches_that_keep_money_still_are_said_at_the_start(shop: Shop) -> None:
    switches = {"DISPATCH_RETURNS_KILL_SWITCH": "1", "DISPATCH_RETURNS_DRY_RUN": "1"}
    environment = {**shop.settings, **switches}
    with started("worker", environment=environment, until="Ctrl-C", cwd=shop.folder) as process:
        said = process.end(signal.SIGTERM)
    assert "the kill switch is on: nothing is paid" in said.text
    assert "dry run is on: nothing is paid" in said.text


def test_typer_is_what_the_boundary_thinks_it_is() -> None:
    assert issubclass(typer.BadParameter, typer.TyperException)


def test_a_refund_that_fails_later_is_told_while_it_serves(shop: Shop) -> None:
    port = free_port()
    payment = shop.pay()
    fault = Fault(kind="fail_later", seconds=0.3, payment_intent=payment)
    shop.box.state.stripe.faults.add(fault)
    ticket = shop.ticket(payment_intent=payment)
    shop.event(ticket)
    arguments = ("serve", "--port", port)
    with started(*arguments, environment=shop.settings, until="Ctrl-C", cwd=shop.folder) as process:
        url = f"http://127.0.0.1:{port}/webhooks/stripe"
        assert url in process.first
        shop.box.state.stripe.events.listen(url, shop.settings["STRIPE_WEBHOOK_SECRET"])
        listing = ("refunds", "list", "--state", "failed", "--json")
        wait_until(lambda: bool(shop.offline(*listing).json["refunds"]), PATIENCE)
        said = process.end(signal.SIGTERM)
    assert said.code == 0
    assert "whsec_" not in said.err
