"""What happens when Django starts: in the web processes, in the workers, in every command."""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings


class ReturnsConfig(AppConfig):
    """Says who does the work."""

    name = "returns"

    def ready(self) -> None:
        """Give the work to the Celery workers, or to threads of the processes that serve."""
        from dispatch_returns import webhooks
        from dispatch_returns.connector.celery import install
        from returns.connector import connector
        from shop.celery import app

        if settings.CELERY_BROKER_URL:
            install(app, connector)
        else:
            webhooks.django.start_with_first_request(connector)
