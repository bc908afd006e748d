"""A Django project around given URL patterns; importing this configures Django for the process."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.urls import URLPattern, URLResolver

settings.configure(
    ALLOWED_HOSTS=["*"],
    DEBUG_PROPAGATE_EXCEPTIONS=True,  # what the application raises comes through
    LOGGING_CONFIG=None,
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
    ROOT_URLCONF="set by each project",
    SECRET_KEY="for tests",
)
django.setup()


def wsgi_project(*patterns: URLPattern | URLResolver) -> Any:
    """A WSGI application with these URLs."""
    handler = WSGIHandler()
    handler.request_class = type("Request", (WSGIRequest,), _urls(patterns))
    return handler


def asgi_project(*patterns: URLPattern | URLResolver) -> Any:
    """An ASGI application with these URLs."""
    handler = ASGIHandler()
    handler.request_class = type("Request", (ASGIRequest,), _urls(patterns))
    return handler


def _urls(patterns: tuple[URLPattern | URLResolver, ...]) -> dict[str, Any]:
    urlconf = ModuleType("urls")
    vars(urlconf)["urlpatterns"] = list(patterns)
    return {"urlconf": urlconf}
