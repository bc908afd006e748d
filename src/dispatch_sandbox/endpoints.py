"""How an endpoint is described: a method, a path below the workspace, and its handler."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dispatch_returns.client import Model
from dispatch_sandbox.answers import NO_CONTENT, Refusal, Reply, not_found
from dispatch_sandbox.checks import Form
from dispatch_sandbox.state import SandboxState
from dispatch_sandbox.wire import Record
from dispatch_sandbox.workspace import Workspace

_NOTHING = Form()


@dataclass(frozen=True, slots=True)
class AccountCall:
    """One call that is not about one workspace; query and body have our names.

    ``word`` is the first one of the path, ``key`` the record of the key (None: the sandbox's own,
    which sees everything), ``origin`` the address the caller knows this server by.
    """

    state: SandboxState
    query: Mapping[str, str]
    body: Record
    word: str = ""
    key: Record | None = None
    origin: str = ""
    form: Form = _NOTHING

    def accept(self, **narrower: Callable[[Any], str | None]) -> Record:
        """Return the fields of the body. Raises a 400 for those that are not valid."""
        return self.form.accept(self.body, **narrower)

    def visible(self) -> list[Workspace]:
        """Return the workspaces that the key sees."""
        return [known for known in self.state.workspaces.values() if sees(self.key, known.id)]

    def gone(self, record: Record) -> Reply:
        """Answer a DELETE: with nothing, or with what was deleted. The API may do either."""
        return Reply(record) if self.state.delete_answers == "json" else NO_CONTENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(AccountCall):
    """One call to a workspace; ``customer_id`` is whose portal token it has, if it has one."""

    workspace: Workspace
    customer_id: str = ""


def sees(key: Record | None, workspace_id: str) -> bool:
    """Return whether a key is for this workspace."""
    return key is None or key["allBrands"] or workspace_id in key["brandIds"]


@dataclass(frozen=True, slots=True)
class Answers:
    """What an endpoint answers: one object of a model, an array of them, or a page."""

    model: type[Model]
    shape: Literal["one", "array", "page"] = "one"
    may_be_empty: bool = False


def one(model: type[Model]) -> Answers:
    """One object."""
    return Answers(model)


def array(model: type[Model]) -> Answers:
    """A bare array of objects."""
    return Answers(model, "array")


def page(model: type[Model]) -> Answers:
    """A page of objects, with ``pagination``."""
    return Answers(model, "page")


def gone(model: type[Model]) -> Answers:
    """Nothing, or what was deleted."""
    return Answers(model, may_be_empty=True)


Handler = Callable[..., Reply]
"""Takes the call, and then the ids in its path as strings."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``path`` is relative to ``/v1/<style>/<workspace>``; ``*`` stands for an id.

    ``takes`` is what the body may hold, ``query`` what the query may, ``answers`` what a client
    reads from the answer: nothing else in the sandbox says so, and its OpenAPI document is made
    from here.
    """

    method: str
    path: str
    handler: Handler
    answers: Answers
    takes: Form = _NOTHING
    query: Mapping[str, Record] = field(default_factory=dict[str, Record])
    required_query: tuple[str, ...] = ()
    status: int = 200


@dataclass(slots=True)
class _Node:
    endpoints: dict[str, Endpoint] = field(default_factory=dict[str, Endpoint])
    named: dict[str, _Node] = field(default_factory=dict[str, "_Node"])
    by_id: _Node | None = None

    def below(self, word: str) -> _Node:
        if word != "*":
            return self.named.setdefault(word, _Node())
        if self.by_id is None:
            self.by_id = _Node()
        return self.by_id


class Routes:
    """Finds endpoints by path, one look-up for each of its parts; a word goes before an id."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._root = _Node()
        for endpoint in endpoints:
            node = self._root
            for word in endpoint.path.split("/") if endpoint.path else ():
                node = node.below(word)
            node.endpoints[endpoint.method] = endpoint

    def find(self, method: str, path: str) -> tuple[Endpoint, list[str]]:
        """Return the endpoint and the ids in the path.

        Raises a 404, or a 405 that names the methods that the path has.
        """
        node = self._root
        ids: list[str] = []
        for part in path.split("/") if path else ():
            named = node.named.get(part)
            if named is None:
                ids.append(part)
            below = named or node.by_id
            if below is None or not part:
                raise not_found("Path")
            node = below
        if not node.endpoints:
            raise not_found("Path")
        if method not in node.endpoints:
            allowed = (b"allow", ", ".join(node.endpoints).encode())
            raise Refusal(405, "method_not_allowed", "Method not allowed", headers=(allowed,))
        return node.endpoints[method], ids
