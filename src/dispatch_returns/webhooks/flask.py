"""Our endpoints as Flask blueprints.

::

    app.register_blueprint(webhooks.flask.blueprint(connector), url_prefix="/webhooks")
    webhooks.flask.start_with_first_request(connector)
"""

from __future__ import annotations

from dispatch_returns.errors import MissingExtraError
from dispatch_returns.webhooks.http import (
    MAX_LAG,
    PROBES,
    Endpoint,
    HasHealth,
    Probes,
    Startable,
    start_at_first,
)
from dispatch_returns.webhooks.receiver import DISPATCH, Deliveries, HasReceivers
from dispatch_returns.webhooks.wsgi import request_of

try:
    from flask import Blueprint, Response, request, request_started
    from flask.blueprints import BlueprintSetupState
except ImportError as error:
    raise MissingExtraError("flask", "the Flask mount") from error

__all__ = ["blueprint", "health_blueprint", "portal_blueprint", "start_with_first_request"]


def blueprint(connector: HasReceivers) -> Blueprint:
    """Return a blueprint for deliveries: Dispatch's at ``/dispatch``, the processor's at its name.

    The payment processor's path is ``/stripe``, for example. Both are under the ``url_prefix``. If
    the application protects its forms against forged requests, exempt the blueprint: a delivery
    proves itself by its signature.
    """
    mount = Blueprint("dispatch_webhooks", __name__)

    def add(state: BlueprintSetupState) -> None:
        for sender in connector.receivers:
            name = "receive" if sender == DISPATCH else f"receive_{sender}"
            _add(state, name, sender, Deliveries(connector, sender))

    mount.record(add)
    return mount


def health_blueprint(connector: HasHealth, max_lag: float = MAX_LAG) -> Blueprint:
    """Return a blueprint that answers ``/live``, ``/ready`` and ``/lag`` under its prefix.

    It answers 503 where the connector is not ready, or the oldest event has waited longer than
    `max_lag` seconds.
    """
    mount = Blueprint("dispatch_health", __name__)

    def add(state: BlueprintSetupState) -> None:
        for probe in PROBES:
            _add(state, probe, probe, Probes(connector, max_lag))

    mount.record(add)
    return mount


def portal_blueprint(endpoint: Endpoint) -> Blueprint:
    """Return a blueprint that serves a `ReturnsPortal` under its ``url_prefix`` (``/returns``).

    If the application protects its forms against forged requests, exempt the blueprint: the
    portal's forms carry its own token.
    """
    mount = Blueprint("dispatch_portal", __name__)

    def add(state: BlueprintSetupState) -> None:
        _add(state, "start", "", endpoint)
        _add(state, "page", "<path:page>", endpoint)

    mount.record(add)
    return mount


def start_with_first_request(connector: Startable) -> None:
    """Start the connector's threads in each process that serves requests, and in no other.

    Call it where the application is made. ``flask routes``, ``flask shell`` and, before it forks, a
    server that preloads also run that code.
    """
    start_at_first(request_started, connector)


def _add(state: BlueprintSetupState, name: str, path: str, endpoint: Endpoint) -> None:
    def view(**_: str) -> Response:
        answer = endpoint.serve(request_of(request.environ, request.stream, request.get_data))
        return Response(answer.body, answer.status, list(answer.headers))

    # Not add_url_rule, which needs a list of methods: the endpoint answers all of them.
    endpoint_name = f"{state.name_prefix}.{state.name}.{name}".lstrip(".")
    rule = f"{(state.url_prefix or '').rstrip('/')}/{path}"
    state.app.url_map.add(
        state.app.url_rule_class(rule, endpoint=endpoint_name, subdomain=state.subdomain)
    )
    state.app.view_functions[endpoint_name] = view
