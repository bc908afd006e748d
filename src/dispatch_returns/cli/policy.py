"""``policy check|test|show|explain``: the return policy, before and after it decides."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from dispatch_returns.cli.common import open_store
from dispatch_returns.cli.output import Json, Listing, Part, Table, plain, show
from dispatch_returns.errors import ConfigurationError, NotFoundError, ReturnStateError

if TYPE_CHECKING:
    from dispatch_returns.returns.policy import PolicyBook
    from dispatch_returns.returns.records import Return

app = typer.Typer(help="Check, test, show and explain the return policy.", no_args_is_help=True)

_Files = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[FILE]...", help="The policy's files. Without: those of DISPATCH_RETURNS_POLICY."
    ),
]


@app.command()
def check(files: _Files = None, *, json: Json = False) -> None:
    """Find rules that can never apply, or that contradict each other.

    Exits with 1 if something is found.
    """
    from dispatch_returns.returns.policy.lint import check as find

    book = _book(files)
    findings = find(book)
    document = {
        "versions": [policy.id for policy in book.versions],
        "findings": [plain(finding) for finding in findings],
    }
    parts: list[Part] = []
    for it in findings:
        example = f" For example: {it.example}." if it.example else ""
        parts += [f"{it.version}, {it.where}: {it.kind}", f"  {it.what}.{example}"]
    versions = ", ".join(policy.id for policy in book.versions)
    show(document, *(parts or [f"Nothing was found in {versions}."]), as_json=json)
    if findings:
        raise typer.Exit(1)


@app.command("test")
def try_cases(
    policy: Annotated[Path, typer.Argument(metavar="POLICY", help="The policy's file.")],
    cases: Annotated[Path, typer.Argument(metavar="CASES", help="The table of cases.")],
    *,
    json: Json = False,
) -> None:
    """Try a policy on a table of cases. Exits with 1 if a case does not match."""
    from dispatch_returns.returns.policy import PolicyBook
    from dispatch_returns.returns.policy.cases import load_cases, try_case

    book = PolicyBook.from_toml(policy)
    results = [try_case(book, case) for case in load_cases(cases)]
    wrong = [result for result in results if result.differences]
    document = {
        "cases": len(results),
        "wrong": len(wrong),
        "results": [
            {
                "name": result.name,
                "differences": [plain(it) for it in result.differences],
                "outcome": result.verdict.outcome,
                "results": [plain(it) for it in result.verdict.results],
            }
            for result in results
        ],
    }
    parts: list[Part] = []
    for result in wrong:
        rows = [(it.what, it.expected, it.got) for it in result.differences]
        why = [(it.rule, it.outcome, it.why) for it in result.verdict.results]
        parts += [
            Table(("", "expected", "got"), rows, title=result.name),
            Table(("rule", "outcome", "why"), why, empty="No rule applied."),
            "",
        ]
    count = f"{len(results) - len(wrong)} of {len(results)} cases match."
    show(document, *parts, count, as_json=json)
    if wrong:
        raise typer.Exit(1)


@app.command("show")
def show_policy(files: _Files = None, *, json: Json = False) -> None:
    """Show the policy in force, version by version, defaults included."""
    versions: list[dict[str, Any]] = []
    parts: list[Part] = []
    for policy in _book(files).versions:
        values = policy.model_dump(mode="json", exclude_none=True)
        version: dict[str, Any] = {"id": policy.id, **values}
        for name in ("block", "allow"):  # the customers on its lists are not shown
            version[name] = f"{len(getattr(policy, name) or ())} customers"
        versions.append(version)
        entries: list[dict[str, Any]] = [version | {"rules": None}, *version["rules"]]
        for entry in entries:
            parts += ["", Listing({key: _readable(value) for key, value in entry.items()})]
    show({"versions": versions}, *parts[1:], as_json=json)


@app.command()
def explain(
    ticket: Annotated[str, typer.Argument(metavar="TICKET", help="A ticket, or a return number.")],
    *,
    json: Json = False,
) -> None:
    """Explain why a return was decided as it was.

    Shows the result of every rule that applied, and the facts. A return that is not decided yet is
    evaluated now, as the workflow would; nothing is written.
    """
    from dispatch_returns.returns import records

    with open_store() as store, store.read() as conn:
        rows = records.matching(conn, ticket, limit=2)
        if len(rows) > 1:
            raise ConfigurationError(f"{ticket} matches several returns: write it in full")
        row = rows[0] if rows else None
        kept = records.decisions_of(conn, row.id) if row else []
    stored = [
        {"outcome": it.outcome, **it.data}  # as the engine has kept it
        for it in kept
        if it.kind == "eligibility"
    ]
    verdict = stored[-1] if stored else _evaluate_now(ticket, row)
    document = {"stored": bool(stored), "ticket": ticket, "decision": verdict}
    first = (
        "The stored decision:"
        if stored
        else "No decision is stored. Evaluated now, with the returns in the database:"
    )
    show(document, first, "", *_explanation(verdict), as_json=json)


def _book(files: list[Path] | None) -> PolicyBook:
    from dispatch_returns.connector.settings import read_one
    from dispatch_returns.returns.policy import PolicyBook

    named = files or [Path(part.strip()) for part in (read_one("policy") or "").split(",")]
    if named == [Path()]:
        raise ConfigurationError("DISPATCH_RETURNS_POLICY is not set, and no file is given")
    return PolicyBook.from_toml(*named)


def _readable(value: Any) -> Any:
    """Return a JSON value for people."""
    if isinstance(value, list):
        entries = cast("Sequence[Any]", value)
        return ", ".join(str(_readable(it)) for it in entries) or None
    if isinstance(value, dict):
        pairs = cast("Mapping[str, Any]", value).items()
        return ", ".join(f"{key}: {_readable(it)}" for key, it in pairs) or None
    return value


def _evaluate_now(text: str, row: Return | None) -> dict[str, Any]:
    """Evaluate a ticket now, with the settings of the environment, in the engine's stored form."""
    from dispatch_returns.cli.setup import client_for
    from dispatch_returns.clock import utc_now
    from dispatch_returns.connector.settings import Settings
    from dispatch_returns.returns import records
    from dispatch_returns.returns.orders import registry
    from dispatch_returns.returns.owner_lookup import Owners
    from dispatch_returns.returns.steps.eligibility import Eligibility, breakdown_json
    from dispatch_returns.returns.steps.request import request_of
    from dispatch_returns.returns.steps.workflow import Workflow

    settings = Settings.from_env()
    book = _book(None)
    now = utc_now()
    with client_for(settings) as client:
        try:
            ticket = client.tickets.get(text if row is None else row.ticket_id)
        except NotFoundError:
            raise ReturnStateError(
                f"there is no ticket {text} in the workspace {settings.workspace}"
            ) from None
    if row is None:  # no event of it has arrived yet
        requested_at = request_of(ticket, now).requested_at
        row = records.unwritten(settings.workspace, ticket.id, now, requested_at)
    orders = registry.load(settings.orders, settings.order_options, settings.adapter_plugins)
    with contextlib.closing(Workflow(book=book, orders=orders)) as parts, open_store() as store:
        owners = Owners(store, utc_now)
        verdict = Eligibility(store, parts, owners).evaluate(row, ticket, now).verdict
    expected = verdict.expected
    return verdict.to_json() | {"expected": None if expected is None else breakdown_json(expected)}


def _explanation(decision: Mapping[str, Any]) -> list[Part]:
    from dispatch_returns.returns.steps.plan import money_of

    facts: Mapping[str, Any] = decision["facts"]
    rows = [(it["rule"], it["outcome"], it["why"]) for it in decision["results"]]
    head: dict[str, object] = {
        "outcome": decision["outcome"],
        "policy": decision["policy"],
        "at": decision["at"],
        "assignee": decision["assignee"],
        "returnless": decision["returnless"] or None,
    }
    if (expected := decision["expected"]) is not None:
        head |= {name: money_of(amount) for name, amount in expected["parts"]}
        head |= {f"{name} fee": f"-{money_of(amount)}" for name, amount in expected["fees"]}
        head["refund amount"] = money_of(expected["total"])
    parts: list[Part] = [Listing(head), "", Table(("rule", "outcome", "why"), rows)]
    order: Mapping[str, Any] = facts.get("order") or {}
    seen = {
        "order": order.get("id"),
        "placed": order.get("placed_at"),
        "shipped": order.get("shipped_at"),
        "delivered": order.get("delivered_at"),
        "country": order.get("country"),
        "items": _readable([f"{it['quantity']} x {it['sku']}" for it in facts["items"]]),
        "reason": facts["reason"],
        "requested at": facts["requested_at"],
        "on the list": facts["listed"],
        "earlier returns": len(facts["earlier_returns"]) or None,
        "in other returns": _readable(facts["returned"]),
    }
    return [*parts, "", "The facts:", Listing(seen)]
