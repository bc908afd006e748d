"""``policy check|test|show|explain``: the return policy, before and after it has decided."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from dispatch_returns.cli.opening import open_store
from dispatch_returns.cli.output import Json, Listing, Part, Table, plain, show
from dispatch_returns.errors import ConfigurationError, NotFoundError, ReturnStateError

if TYPE_CHECKING:
    from dispatch_returns.returns.policy import PolicyBook, ReturnPolicy
    from dispatch_returns.returns.policy.cases import Result
    from dispatch_returns.returns.policy.lint import Finding
    from dispatch_returns.returns.policy.verdict import Verdict
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
    """Find rules that can never fire, or contradict each other.

    Ends with 1 if something is found.
    """
    from dispatch_returns.returns.policy.lint import check as find

    book = _book(files)
    findings = find(book)
    document = {
        "versions": [policy.id for policy in book.versions],
        "findings": [plain(finding) for finding in findings],
    }
    versions = ", ".join(policy.id for policy in book.versions)
    said = [part for finding in findings for part in _found(finding)]
    show(document, *(said or [f"Nothing was found in {versions}."]), as_json=json)
    if findings:
        raise typer.Exit(1)


@app.command("test")
def try_cases(
    policy: Annotated[Path, typer.Argument(metavar="POLICY", help="The policy's file.")],
    cases: Annotated[Path, typer.Argument(metavar="CASES", help="The table of cases.")],
    *,
    json: Json = False,
) -> None:
    """Try a policy on a table of cases. Ends with 1 if one does not come out as it should."""
    from dispatch_returns.returns.policy import PolicyBook
    from dispatch_returns.returns.policy.cases import load_cases, try_case

    book = PolicyBook.from_toml(policy)
    results = [try_case(book, case) for case in load_cases(cases)]
    wrong = [result for result in results if result.differences]
    document = {"cases": len(results), "wrong": len(wrong), "results": [*map(_result, results)]}
    said: list[Part] = [part for result in wrong for part in _differing(result)]
    count = f"{len(results) - len(wrong)} of {len(results)} cases come out as they should."
    show(document, *said, count, as_json=json)
    if wrong:
        raise typer.Exit(1)


@app.command("show")
def show_policy(files: _Files = None, *, json: Json = False) -> None:
    """Show what holds, version by version, defaults included."""
    book = _book(files)
    versions = [_version(policy) for policy in book.versions]
    parts: list[Part] = []
    for number, version in enumerate(versions):
        rules = version["rules"]
        values = {key: _written(value) for key, value in version.items() if key != "rules"}
        parts += ["", Listing(values)] if number else [Listing(values)]
        parts += [
            part
            for rule in rules
            for part in ("", Listing({key: _written(value) for key, value in rule.items()}))
        ]
    show({"versions": versions}, *parts, as_json=json)


@app.command()
def explain(
    ticket: Annotated[str, typer.Argument(metavar="TICKET", help="A ticket, or a return number.")],
    *,
    json: Json = False,
) -> None:
    """Say why a return was decided as it was.

    Shows every rule that spoke, and what it saw. A return that was not decided yet is judged now,
    as the workflow would; nothing is written.
    """
    row, stored = _stored(ticket)
    verdict = _live(ticket, row) if stored is None else stored
    document = {"stored": stored is not None, "ticket": ticket, "decision": verdict}
    first = (
        "As it was decided, and kept:"
        if stored is not None
        else "Nothing is kept of a decision. Judged now, after the returns in the database:"
    )
    show(document, first, "", *_explained(verdict), as_json=json)


def _found(finding: Finding) -> list[Part]:
    example = f" For example: {finding.example}." if finding.example else ""
    return [
        f"{finding.version}, {finding.where}: {finding.kind}",
        f"  {finding.what}.{example}",
    ]


def _book(files: list[Path] | None) -> PolicyBook:
    from dispatch_returns.connector.settings import read_one
    from dispatch_returns.returns.policy import PolicyBook

    named = files or [Path(part.strip()) for part in (read_one("policy") or "").split(",")]
    if named == [Path()]:
        raise ConfigurationError("DISPATCH_RETURNS_POLICY: is not set, and no file is named")
    return PolicyBook.from_toml(*named)


def _result(result: Result) -> dict[str, Any]:
    return {
        "name": result.name,
        "differences": [plain(it) for it in result.differences],
        "outcome": result.verdict.outcome,
        "spoken": [plain(it) for it in result.verdict.spoken],
    }


def _differing(result: Result) -> list[Part]:
    rows = [(it.what, it.expected, it.got) for it in result.differences]
    why = [(it.rule, it.outcome, it.why) for it in result.verdict.spoken]
    return [
        Table(("", "expected", "got"), rows, title=result.name),
        Table(("rule", "outcome", "why"), why, empty="No rule spoke."),
        "",
    ]


def _version(policy: ReturnPolicy) -> dict[str, Any]:
    """Return a version as JSON. Who is on its lists is not shown."""
    found = policy.model_dump(mode="json", exclude_none=True)
    for name in ("block", "allow"):
        found[name] = f"{len(getattr(policy, name) or ())} customers"
    return {"id": policy.id, **found}


def _written(value: Any) -> Any:
    """Return a JSON value for people."""
    if isinstance(value, list):
        entries = cast("Sequence[Any]", value)
        return ", ".join(str(_written(it)) for it in entries) or None
    if isinstance(value, dict):
        pairs = cast("Mapping[str, Any]", value).items()
        return ", ".join(f"{key}: {_written(it)}" for key, it in pairs) or None
    return value


def _stored(ticket: str) -> tuple[Return | None, dict[str, Any] | None]:
    """Return a ticket's return, and the newest decision of the policy as the engine has kept it."""
    from dispatch_returns.returns import records

    with open_store() as store, store.read() as conn:
        rows = records.matching(conn, ticket, limit=2)
        if len(rows) > 1:
            raise ConfigurationError(f"{ticket} means several returns: write it whole")
        decisions = records.decisions_of(conn, rows[0].id) if rows else []
    found = [it for it in decisions if it.kind == "eligibility"]
    row = rows[0] if rows else None
    return row, {"outcome": found[-1].outcome, **found[-1].data} if found else None


def _live(text: str, row: Return | None) -> dict[str, Any]:
    """Judge a ticket now, by the settings of the environment."""
    from dispatch_returns.cli.setup import client_for
    from dispatch_returns.clock import utc_now
    from dispatch_returns.connector.settings import Settings
    from dispatch_returns.returns import records
    from dispatch_returns.returns.orders import registry
    from dispatch_returns.returns.owners import Owners
    from dispatch_returns.returns.steps.eligibility import Eligibility
    from dispatch_returns.returns.steps.protocols import Parts
    from dispatch_returns.returns.steps.request import request_of

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
    orders = registry.load(settings.orders, settings.order_options)
    with contextlib.closing(Parts(book=book, orders=orders)) as parts, open_store() as store:
        owners = Owners(store, utc_now)
        verdict = Eligibility(store, parts, owners).judge(row, ticket, now).verdict
    return _document(verdict)


def _document(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict in the form in which the engine keeps it."""
    from dispatch_returns.returns.steps.eligibility import breakdown_json

    found = verdict.to_json()
    expected = verdict.expected
    return found | {"expected": None if expected is None else breakdown_json(expected)}


def _explained(decision: Mapping[str, Any]) -> list[Part]:
    facts: Mapping[str, Any] = decision["facts"]
    rows = [(it["rule"], it["outcome"], it["why"]) for it in decision["spoken"]]
    head: dict[str, object] = {
        "outcome": decision["outcome"],
        "policy": decision["policy"],
        "at": decision["at"],
        "assignee": decision["assignee"],
        "returnless": decision["returnless"] or None,
        **_amounts(decision["expected"]),
    }
    parts: list[Part] = [Listing(head), "", Table(("rule", "outcome", "why"), rows)]
    order: Mapping[str, Any] = facts.get("order") or {}
    seen = {
        "order": order.get("id"),
        "placed": order.get("placed_at"),
        "shipped": order.get("shipped_at"),
        "delivered": order.get("delivered_at"),
        "country": order.get("country"),
        "asked for": _written([f"{it['quantity']} x {it['sku']}" for it in facts["items"]]),
        "reason": facts["reason"],
        "asked at": facts["requested_at"],
        "on the list": facts["listed"],
        "earlier returns": len(facts["earlier_returns"]) or None,
        "in other returns": _written(facts["returned"]),
    }
    return [*parts, "", "What it saw:", Listing(seen)]


def _amounts(expected: Mapping[str, Any] | None) -> dict[str, Any]:
    if expected is None:
        return {}
    given = {name: _money(amount) for name, amount in expected["parts"]}
    kept = {f"{name} fee": f"-{_money(amount)}" for name, amount in expected["fees"]}
    return {**given, **kept, "to be paid back": _money(expected["total"])}


def _money(amount: Mapping[str, Any]) -> str:
    from dispatch_returns.returns.steps.plan import money_of

    return str(money_of(amount))
