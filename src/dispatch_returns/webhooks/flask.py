"""The receivers as a Flask blueprint.

::

    app.register_blueprint(webhooks.flask.blueprint(connector), url_prefix="/webhooks")
    webhooks.flask.start_with_first_request(connector)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dispatch_returns.errors import MissingExtraError
from dispatch_returns.webhooks.http import MAX_LAG, PROBES, Answer, HasHealth
from dispatch_returns.webhooks.receiver import DISPATCH, HasReceivers
from dispatch_returns.webhooks.starting import Startable, start_at_first
from dispatch_returns.webhooks.wsgi import body_of, headers_of

try:
    from flask import Blueprint, Response, request, request_started
    from flask.blueprints import BlueprintSetupState
except ImportError as error:
    raise MissingExtraError("flask", "the Flask mount") from error

__all__ = ["blueprint", "health_blueprint", "start_with_first_request"]


def blueprint(connector: HasReceivers) -> Blueprint:
    """Return a blueprint that takes deliveries at ``/dispatch`` under its ``url_prefix``, and
    those of the payment processor at its name, ``/stripe``.

    Where the application protects its forms against forged requests, exempt the blueprint: a
    delivery proves itself by its signature.
    """

    def receive(sender: str) -> Response:
        receiver = connector.receivers[sender]
        read = body_of(receiver, request.environ, request.stream, request.get_data)
        if isinstance(read, bytes):
            read = receiver.receive(request.method, headers_of(request.environ), read)
        return _response(read)

    def add(state: BlueprintSetupState) -> None:
        for sender in connector.receivers:
            _add(state, sender, partial(receive, sender))

    mount = Blueprint("dispatch_webhooks", __name__)
    mount.record(add)
    return mount


def health_blueprint(connector: HasHealth, max_lag: float = MAX_LAG) -> Blueprint:
    """Return a blueprint that answers ``/live``, ``/ready`` and ``/lag`` under its prefix.

    503 where it is not ready, or the oldest event waits longer than `max_lag` seconds.
    """
    mount = Blueprint("dispatch_health", __name__)

    def ask() -> Response:
        return _response(connector.health.answer(request.method, request.path, max_lag))

    for probe in PROBES:
        mount.add_url_rule(f"/{probe}", probe, ask)
    return mount


def start_with_first_request(connector: Startable) -> None:
    """Start the connector's threads in each process that serves requests, and in no other.

    Call it where the application is made. That code is also run by ``flask routes`` and
    ``flask shell``, and, before it forks, by a server that preloads.
    """
    start_at_first(request_started, connector)


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, list(answer.headers))


def _add(state: BlueprintSetupState, sender: str, view: Callable[[], Response]) -> None:
    # Not add_url_rule, which wants a list of methods: the receiver answers to all of them.
    name = "receive" if sender == DISPATCH else f"receive_{sender}"
    endpoint = f"{state.name_prefix}.{state.name}.{name}".lstrip(".")
    path = f"{(state.url_prefix or '').rstrip('/')}/{sender}"
    rule = state.app.url_rule_class(path, endpoint=endpoint, subdomain=state.subdomain)
    state.app.url_map.add(rule)
    state.app.view_functions[endpoint] = view
