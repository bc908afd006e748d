"""The receivers as Django views, for WSGI and for ASGI.

::

    urlpatterns = [path("webhooks/", include(webhooks.django.urls(connector)))]
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from dispatch_returns.errors import MissingExtraError
from dispatch_returns.webhooks.http import MAX_LAG, PROBES, Answer, HasHealth
from dispatch_returns.webhooks.receiver import HasReceivers
from dispatch_returns.webhooks.starting import Startable, start_at_first
from dispatch_returns.webhooks.wsgi import Readable, body_of, headers_of

try:
    from django.core.signals import request_started
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern, path
except ImportError as error:
    raise MissingExtraError("django", "the Django mount") from error

__all__ = ["async_urls", "health_urls", "start_with_first_request", "urls"]


def urls(connector: HasReceivers) -> list[URLPattern]:
    """Return URL patterns that take Dispatch's deliveries at ``dispatch``, and those of the
    payment processor at its name, ``stripe``.

    They need no CSRF token: a delivery proves itself by its signature.
    """
    return [_path(sender, _view(connector, sender)) for sender in connector.receivers]


def async_urls(connector: HasReceivers) -> list[URLPattern]:
    """Return the same with async views, which keep no thread waiting for the disk."""
    return [_path(sender, _async_view(connector, sender)) for sender in connector.receivers]


def health_urls(connector: HasHealth, max_lag: float = MAX_LAG) -> list[URLPattern]:
    """Return URL patterns that answer ``live``, ``ready`` and ``lag``.

    503 where it is not ready, or the oldest event waits longer than `max_lag` seconds.
    """

    def ask(request: HttpRequest) -> HttpResponse:
        return _response(connector.health.answer(request.method or "", request.path, max_lag))

    vars(ask)["csrf_exempt"] = True
    return [path(probe, ask, name=f"dispatch_{probe}") for probe in PROBES]


def start_with_first_request(connector: Startable) -> None:
    """Start the connector's threads in each process that serves requests, and in no other.

    Call it in ``AppConfig.ready``. That is also run by ``manage.py migrate``, by runserver's
    autoreloader and, before it forks, by a server that preloads: threads started there would
    be in the wrong process.
    """
    start_at_first(request_started, connector)


def _path(sender: str, view: Callable[..., Any]) -> URLPattern:
    vars(view)["csrf_exempt"] = True  # Django 4.2's decorator would hide that a view is async
    return path(sender, view, name=f"{sender}_webhook")


def _view(connector: HasReceivers, sender: str) -> Callable[[HttpRequest], HttpResponse]:
    def receive(request: HttpRequest) -> HttpResponse:
        receiver = connector.receivers[sender]
        # Not `request.body`, which the limit for the shop's own forms applies to.
        read = body_of(receiver, request.META, _stream(request))
        if isinstance(read, bytes):
            read = receiver.receive("POST", headers_of(request.META), read)
        return _response(read)

    return receive


def _async_view(
    connector: HasReceivers, sender: str
) -> Callable[[HttpRequest], Coroutine[Any, Any, HttpResponse]]:
    async def receive(request: HttpRequest) -> HttpResponse:
        receiver = connector.receivers[sender]
        # Not `request.body`, which the limit for the shop's own forms applies to.
        read = body_of(receiver, request.META, _stream(request))
        if isinstance(read, bytes):
            read = await receiver.receive_async("POST", headers_of(request.META), read)
        return _response(read)

    return receive


def _stream(request: HttpRequest) -> Readable:
    """Return where the body comes from: Django takes one without a length for empty."""
    if request.META.get("wsgi.input_terminated") and not request.META.get("CONTENT_LENGTH"):
        stream: Readable = request.META["wsgi.input"]
        return stream
    return request


def _response(answer: Answer) -> HttpResponse:
    headers = {**dict(answer.headers), "content-length": str(len(answer.body))}
    return HttpResponse(answer.body, status=answer.status, headers=headers)
