"""Our endpoints as Django views, for WSGI and for ASGI.

::

    urlpatterns = [path("webhooks/", include(webhooks.django.urls(connector)))]
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from dispatch_returns.errors import MissingExtraError
from dispatch_returns.webhooks.http import (
    MAX_LAG,
    PROBES,
    Answer,
    AsyncRequest,
    Endpoint,
    HasHealth,
    NoBody,
    Probes,
    Request,
    Startable,
    start_at_first,
)
from dispatch_returns.webhooks.receiver import Deliveries, HasReceivers
from dispatch_returns.webhooks.wsgi import Readable, request_of

try:
    from django.core.signals import request_started
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern, path
except ImportError as error:
    raise MissingExtraError("django", "the Django mount") from error

__all__ = [
    "async_portal_urls",
    "async_urls",
    "health_urls",
    "portal_urls",
    "start_with_first_request",
    "urls",
]


def urls(connector: HasReceivers) -> list[URLPattern]:
    """Return URL patterns for deliveries: Dispatch's at ``dispatch``, the processor's at its name.

    The payment processor's name is ``stripe``, for example. The views need no CSRF token, because a
    delivery proves itself by its signature.
    """
    return [_path(it, _view(Deliveries(connector, it))) for it in connector.receivers]


def async_urls(connector: HasReceivers) -> list[URLPattern]:
    """Return the same with async views, which keep no thread waiting for the disk."""
    return [_path(it, _async_view(Deliveries(connector, it))) for it in connector.receivers]


def health_urls(connector: HasHealth, max_lag: float = MAX_LAG) -> list[URLPattern]:
    """Return URL patterns that answer ``live``, ``ready`` and ``lag``.

    They answer 503 where the connector is not ready, or the oldest event has waited longer than
    `max_lag` seconds.
    """
    view = _view(Probes(connector, max_lag))
    return [path(probe, view, name=f"dispatch_{probe}") for probe in PROBES]


def portal_urls(endpoint: Endpoint) -> list[URLPattern]:
    """Return URL patterns that serve a `ReturnsPortal`: ``path("returns/", include(...))``.

    The views need no CSRF token of Django's, because the portal's forms carry its own.
    """
    return _portal(_view(endpoint))


def async_portal_urls(endpoint: Endpoint) -> list[URLPattern]:
    """Return the same with async views."""
    return _portal(_async_view(endpoint))


def start_with_first_request(connector: Startable) -> None:
    """Start the connector's threads in each process that serves requests, and in no other.

    Call it in ``AppConfig.ready``. ``manage.py migrate``, runserver's autoreloader and, before it
    forks, a server that preloads also run that method: threads started there would be in the wrong
    process.
    """
    start_at_first(request_started, connector)


def _portal(view: Callable[..., Any]) -> list[URLPattern]:
    return [
        path("", view, name="dispatch_portal"),
        path("<path:page>", view, name="dispatch_portal_page"),
    ]


def _path(sender: str, view: Callable[[HttpRequest], Any]) -> URLPattern:
    return path(sender, view, name=f"{sender}_webhook")


def _view(endpoint: Endpoint) -> Callable[..., HttpResponse]:
    def view(request: HttpRequest, **_: str) -> HttpResponse:
        return _response(endpoint.serve(_request(request)))

    vars(view)["csrf_exempt"] = True
    return view


def _async_view(
    endpoint: Endpoint,
) -> Callable[..., Coroutine[Any, Any, HttpResponse]]:
    async def view(request: HttpRequest, **_: str) -> HttpResponse:
        asked = _request(request)

        async def read(limit: int, seconds: float) -> bytes | NoBody:
            return asked.read(limit, seconds)  # Django has read it already

        answer = await endpoint.serve_async(
            AsyncRequest(
                asked.method,
                asked.path,
                asked.query,
                asked.headers,
                read,
                client=asked.client,
            )
        )
        return _response(answer)

    vars(view)["csrf_exempt"] = True  # Django 4.2's decorator would hide that a view is async
    return view


def _request(request: HttpRequest) -> Request:
    # Not `request.body`, because the limit for the shop's own forms applies to it.
    stream: Readable = request
    if request.META.get("wsgi.input_terminated") and not request.META.get("CONTENT_LENGTH"):
        stream = request.META["wsgi.input"]  # Django takes a body without a length as empty
    return request_of(request.META, stream)


def _response(answer: Answer) -> HttpResponse:
    headers = {**dict(answer.headers), "content-length": str(len(answer.body))}
    return HttpResponse(answer.body, status=answer.status, headers=headers)
