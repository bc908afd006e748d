"""The shop's URLs: Dispatch delivers to ``/webhooks/dispatch``, Stripe to ``/webhooks/stripe``."""

from __future__ import annotations

from django.urls import include, path

from dispatch_returns import webhooks
from returns.connector import connector

urlpatterns = [path("webhooks/", include(webhooks.django.urls(connector)))]
