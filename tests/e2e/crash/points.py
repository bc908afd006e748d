"""The places where a worker can die, read from the source, so that no new one is forgotten.

Every write is named (``store.write("refund.sending", ...)``), and every call that leaves the
process goes through the client, the adapter, or a part of the merchant's workflow. Each gives
two points: before it took effect, and after.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import dispatch_returns

SOURCE = Path(dispatch_returns.__file__).parent
FOLDERS = ("connector", "refunds", "returns", "webhooks")

# What is not on the way from claiming an event to the end of its write-back in a plain return.
ELSEWHERE = {
    "inbox.accept": "the web request: until it is on disk the sender is not answered",
    "refund.enter": "a merchant's own call: one transaction, and it can be repeated",
    "refund.*": "a person's act: one transaction, no call to a processor",
    "event.set_aside": "an event that the API never bore out: only its handlers are called",
    "event.left": "another workspace's event goes back as it was",
    "installation.enter": "before any work: whose database it is, the next start finds or writes",
    "installation.name": "how an event calls the workspace: it is asked again",
    "installation.adopt": "a person's act: one transaction, and it can be repeated",
    "event.unreadable": "an event that is not understood moves no money",
    "act.erase": "a person's act: one transaction, no call; it can be repeated",
    "address.thin": "addresses that are not needed: what is left goes in the next pass",
    "label.thin": "documents that are not needed: what is left goes in the next pass",
    "event.thin": "old events that are done: whatever is left of them is deleted by the next pass",
    "event.postpone": "an event put off changes nothing but its time",
    "message.keep": "a handler that takes long: without it the handler is called again",
    "worker.seen": "it only reads",
    "worker.beat": "that a worker runs: written again in a minute",
    "clock.forward": "work that a wrong clock put off: what is left goes in the next minute",
    "workspaces.get": "it only reads, to hear the time",
    "message.postpone": "a message put off changes nothing but its time",
    "refund.postpone": "a refund put off changes nothing but its time",
    "go_live.claim": "what a dead worker had claimed, another one claims when its lease ends",
    "go_live.begin": "it begins once, whoever begins it",
    "go_live.page": "a page is listed again, and kept once",
    "go_live.later": "a list put off changes nothing but its time",
    "statuses.list": "it only reads, where the status may be missing",
    "tickets.list_page": "it only reads, to know what was settled before",
    "restored.claim": "what a dead worker had claimed, another one claims when its lease ends",
    "restored.reconcile": "one transaction that writes down what the processor says",
    "restored.done": "the hold on payments ends with it, or it is compared again",
    "restored.later": "a comparison that is made again does no harm",
    "reconcile.claim": "what a dead worker had claimed, another one claims when its lease ends",
    "reconcile.done": "a comparison that is made again does no harm",
    "reconcile.fix": "one transaction that enters or writes down; a worker pays, from the ledger",
    "adapter.refunds_between": "it only reads, to compare",
    "tickets.list": "it only reads, to compare",
    "adapter.account": "it only reads, when the workers start, to know whose database it is",
    "adapter.parse_event": "it only reads what was received",
    "adapter.refunds_of": "it only reads, for a processor's event, which is claimed again",
    "adapter.find": "only after a crash or an unknown outcome: killed in the second worker",
    "refund.claim": "only what was put off or left behind: killed in the second worker",
    "refund.sending": "only what was put off or left behind: killed in the second worker",
    "categories.list": "it only reads, to find who reviews",
    "label.take": "a person's act: the return is held for a time, as by a worker; it is repeated",
    "label.kept": "a person's act: the label stands as before, and the act can be repeated",
    "comments.list": "only when a comment is delivered a second time: killed in the second worker",
    "tickets.create": "the request: repeated with the same key it opens no second ticket",
    "return.enter": "the request: until it is on disk the ticket's event does the same",
    "return.receive": "a person's act: one transaction, no call",
    "return.gone": "a deleted ticket: nothing follows",
    "owner.key": "the key of our proofs: made once, when a merchant's backend first asks for one",
    "return.owner": "a person's approval: where it was lost, their ticket gives it again",
    "return.postpone": "a return put off changes nothing but its time",
    "access.ask": "the web request: until it is on disk no code is sent, and it can be repeated",
    "access.check": "the web request: a code that was typed in can be typed in again",
    "access.key": "the key of the portal's tokens: made once, when the first page is opened",
    "online.cancel": "the web request: repeated, it is stored once",
    "online.cancelled": "where it was lost, the ticket's event does the same",
    "online.request": "the web request: repeated with the same draft it is stored once",
    "online.opened": "a worker killed before it finds the ticket by its mark: tests/unit/portal",
    "attachments.delete": "only what a crash has left behind: killed in the second worker",
    "label.not_bought": "a label put off: it is looked for, or wanted again",
    "label.voided": "a person's act: the label is given back again, with the same answer",
    "labels.find": "only after a crash or an unknown outcome: killed in the second worker",
    "labels.void": "only where a label is not needed any more: voiding it again answers the same",
}

# What is on the way of the six steps alone, from a request to the refund.
OF_RETURNS = {
    "attachments.list",
    "attachments.upload",
    "label.attached",
    "label.bought",
    "label.buying",
    "label.uploading",
    "label.wanted",
    "labels.buy",
    "notifier.send",
    "orders.order",
    "return.claim",
    "return.decided",
    "return.moved",
}
_ROWS = {"event", "inbox", "label", "message", "reconcile", "refund", "return"}
_PLUGINS = {"adapters", "labels", "notifications", "orders"}
_PARTS = {"provider": "labels", "orders": "orders", "_notifier": "notifier"}


def steps() -> set[str]:
    """Return the name of every write and of every call that leaves the process."""
    return {name for folder in FOLDERS for name in _in_folder(SOURCE / folder)}


def writes() -> set[str]:
    """Return the name of every write to the store."""
    return {name for name in steps() if name.split(".")[0] in _ROWS}


def _in_folder(folder: Path) -> Iterator[str]:
    assert folder.is_dir(), f"{folder} has moved: whatever is in it would be forgotten here"
    for path in folder.rglob("*.py"):
        # `write_once`, in comments.py, writes our own notes too: a worker can die at its calls.
        plugin = _PLUGINS.intersection(path.parts) and path.stem != "comments"
        if plugin or path.stem == "provision":
            continue  # a plugin's own calls happen inside ours; setup is run by a person
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and (name := _step(node)):
                yield name


def _step(call: ast.Call) -> str | None:
    *objects, method = _dotted(call.func)
    if method in {"write", "submit"} and objects[-1:] in (["store"], ["_store"]):
        return _name(call.args[0])
    if objects[-1:] == ["adapter"] and objects[-2:-1] != ["c"]:  # not a column of a table
        return None if method in {"close", "from_options"} else f"adapter.{method}"
    if objects and objects[-1] in _PARTS:
        return None if method == "close" else f"{_PARTS[objects[-1]]}.{method}"
    if method != "with_options" and objects[-2:-1] in (["client"], ["_client"]):
        return f"{objects[-1]}.{method}"
    return None


def _dotted(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Attribute):
        return [*_dotted(node.value), node.attr]
    if isinstance(node, ast.Call) and _dotted(node.func)[-1] == "with_options":
        return _dotted(node.func)[:-1]  # the same resource
    return [node.id] if isinstance(node, ast.Name) else [""]


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    assert isinstance(node, ast.JoinedStr), "a write's name is written out"
    return "".join(str(v.value) if isinstance(v, ast.Constant) else "*" for v in node.values)


def points(of: set[str]) -> list[str]:
    """Return both points of each step, in order."""
    return [f"{when} {step}" for step in sorted(of) for when in ("before", "after")]


ON_THE_WAY = sorted(steps() - set(ELSEWHERE) - OF_RETURNS)
POINTS = points(set(ON_THE_WAY))
RETURNS_POINTS = points({*ON_THE_WAY, *OF_RETURNS, "refund.claim", "refund.sending"})
