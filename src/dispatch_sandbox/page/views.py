"""The page's addresses: each reads the state under its lock, and renders one template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any
from urllib.parse import parse_qs, quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from dispatch_sandbox.answers import Refusal, not_found
from dispatch_sandbox.index import Paging
from dispatch_sandbox.local import objection
from dispatch_sandbox.page.timeline import about, moments
from dispatch_sandbox.resources import tickets
from dispatch_sandbox.state import SandboxState
from dispatch_sandbox.wire import Record, pretty
from dispatch_sandbox.workspace import Workspace

PREFIX = "/page"
_MOST = 100
"""The most deliveries on one page."""
_LARGEST_FORM = 4096
_SORTS = {"createdAt": "createdAt"}
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}


def routes(state: SandboxState, about: Mapping[str, str]) -> list[Route]:
    """Return the routes of the page; ``about`` is what a program reads at ``/``.

    Who may call those below ``PREFIX`` is the application's matter.
    """
    page = Page(state, about)
    return [
        Route("/", page.home),
        Route(f"{PREFIX}/style.css", page.style),
        Route(f"{PREFIX}/{{workspace}}", page.shown(page.tickets)),
        Route(f"{PREFIX}/{{workspace}}/tickets/{{ticket}}", page.shown(page.ticket)),
        Route(
            f"{PREFIX}/{{workspace}}/tickets/{{ticket}}/status",
            page.done(page.set_status),
            methods=["POST"],
        ),
        Route(f"{PREFIX}/{{workspace}}/deliveries", page.shown(page.deliveries)),
        Route(f"{PREFIX}/{{workspace}}/deliveries/{{delivery}}", page.shown(page.delivery)),
        Route(
            f"{PREFIX}/{{workspace}}/deliveries/{{delivery}}/redeliver",
            page.done(page.redeliver),
            methods=["POST"],
        ),
    ]


class Page:
    """What is at each address."""

    def __init__(self, state: SandboxState, about: Mapping[str, str]) -> None:
        self._state = state
        self._about = about
        self._templates = Environment(
            loader=PackageLoader("dispatch_sandbox.page"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "compact": lambda value: pretty(value, indent=None),
            "moment": _moment,
            "pretty": pretty,
            "segment": _segment,
        }

    async def home(self, request: Request) -> Response:
        """List the workspaces, and say how to reach the API; programs get JSON."""
        if "text/html" not in request.headers.get("accept", ""):
            return JSONResponse(self._about, headers={"vary": "accept"})
        if problem := objection(request.scope):
            return self._refused(Refusal(403, "forbidden", problem))
        with self._state.lock:
            return self._render(
                "home.html",
                workspaces=[(known, known.counts()) for known in self._state.workspaces.values()],
                deliveries=self._state.deliveries.counts(),
                api=f"{request.url.scheme}://{request.url.netloc}/v1",
                key=self._state.api_key,
            )

    def shown(self, view: Callable[[Request, Workspace], Response]) -> Callable[..., Any]:
        """Make a view an endpoint: it gets the workspace, and runs under the lock."""

        async def serve(request: Request) -> Response:
            try:
                with self._state.lock:
                    return view(request, self._workspace(request))
            except Refusal as refusal:
                return self._refused(refusal)

        return serve

    def done(self, act: Callable[[Workspace, Request, Record], str]) -> Callable[..., Any]:
        """Make an action an endpoint: it gets the form, and returns the next address."""

        async def serve(request: Request) -> Response:
            try:
                form = await _form(request)
                with self._state.transaction():
                    return RedirectResponse(act(self._workspace(request), request, form), 303)
            except Refusal as refusal:
                return self._refused(refusal)

        return serve

    def tickets(self, request: Request, workspace: Workspace) -> Response:
        """List tickets, the newest first."""
        reply = Paging.read(request.query_params, _SORTS).page(
            workspace.ticket_list,
            keep=lambda _: True,
            show=lambda ticket: tickets.show(workspace, ticket),
        )
        assert reply.pagination is not None
        cursor = reply.pagination["cursor"]
        return self._render(
            "tickets.html",
            workspace=workspace,
            tickets=reply.data,
            total=len(workspace.ticket_list),
            older=cursor and f"?cursor={quote(cursor)}",
        )

    def ticket(self, request: Request, workspace: Workspace) -> Response:
        """Show one ticket with its timeline."""
        ticket = tickets.find(workspace, request.path_params["ticket"])
        known = sorted(workspace.statuses_by_key.values(), key=lambda it: it["sortOrder"])
        return self._render(
            "ticket.html",
            workspace=workspace,
            ticket=tickets.show(workspace, ticket),
            moments=moments(workspace, ticket, self._state.deliveries.of_workspace(workspace)),
            statuses=known,
        )

    def deliveries(self, _: Request, workspace: Workspace) -> Response:
        """List the newest deliveries."""
        newest = self._state.deliveries.of_workspace(workspace)
        return self._render(
            "deliveries.html",
            workspace=workspace,
            deliveries=list(islice(newest, _MOST)),
            most=_MOST,
            webhooks=list(workspace.webhooks.values()),
        )

    def delivery(self, request: Request, workspace: Workspace) -> Response:
        """Show a delivery: what was sent, and the answer."""
        record = self._delivery(workspace, request)
        return self._render(
            "delivery.html",
            workspace=workspace,
            delivery=record,
            webhook=workspace.webhooks.get(record["webhookId"]),
            ticket=workspace.tickets.get(about(record) or ""),
        )

    def set_status(self, workspace: Workspace, request: Request, form: Record) -> str:
        """Change a status as the API does: a SYSTEM comment, and the events."""
        ticket = tickets.find(workspace, request.path_params["ticket"])
        status = form.get("status")
        if problem := tickets.known_status(workspace)(status):
            raise Refusal(400, "validation_error", f"The status {problem}")
        tickets.change(self._state, workspace, ticket, {"status": status})
        return f"{PREFIX}/{_segment(workspace.id)}/tickets/{_segment(ticket['id'])}"

    def redeliver(self, workspace: Workspace, request: Request, _: Record) -> str:
        """Send an event again, and go to the new delivery."""
        again = self._state.deliveries.redeliver(self._delivery(workspace, request)["id"])
        assert again is not None
        return f"{PREFIX}/{_segment(workspace.id)}/deliveries/{_segment(again['id'])}"

    async def style(self, _: Request) -> Response:
        """Return the style sheet."""
        text = self._templates.get_template("style.css").render()
        return Response(text, media_type="text/css", headers=_HEADERS)

    def _workspace(self, request: Request) -> Workspace:
        workspace = self._state.workspaces.get(request.path_params["workspace"])
        if workspace is None:
            raise not_found("Workspace")
        return workspace

    def _delivery(self, workspace: Workspace, request: Request) -> Record:
        record = self._state.deliveries.find(workspace, request.path_params["delivery"])
        if record is None:
            raise not_found("Delivery")
        return record

    def _refused(self, refusal: Refusal) -> Response:
        return self._render("refused.html", refusal.status, refusal=refusal)

    def _render(self, template: str, status: int = 200, **values: Any) -> Response:
        text = self._templates.get_template(template).render(prefix=PREFIX, **values)
        # Half a surrogate pair is a string in JSON, and has no place in UTF-8.
        return HTMLResponse(text.encode("utf-8", "replace"), status, headers=_HEADERS)


async def _form(request: Request) -> Record:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_FORM:
            raise Refusal(413, "too_large", "A form of this page is smaller than that")
    fields = parse_qs(body.decode("utf-8", "replace"))
    return {name: values[0] for name, values in fields.items()}


def _moment(stamp: str) -> str:
    return f"{stamp[:10]} {stamp[11:19]}"


def _segment(text: str) -> str:
    return quote(text, safe="", errors="replace")
