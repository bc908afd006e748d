"""A client whose changes are carried out, and whose answers are lost."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from dispatch_returns.client import DispatchClient
from tests.support.workshop import Workshop


class Lossy(httpx.HTTPTransport):
    """Loses the answer to the first PATCH, and lets somebody change something at that moment."""

    def __init__(self, shop: Workshop, meanwhile: Callable[[], None]) -> None:
        super().__init__()
        self.lost = 0
        self._meanwhile = meanwhile
        settings = shop.settings
        # A client that retries, as the connector's own does, and shares nothing with the shop's.
        self._client = httpx.Client(transport=self)
        client = DispatchClient(
            settings.api_key.get_secret_value(),
            settings.workspace,
            base_url=settings.base_url,
            http_client=self._client,
            sleep=lambda _: None,
        )
        for part in (shop.connector.messenger, shop.connector._engine):
            if part is not None:
                part._client = part._tickets._client = client

    def hang_up(self) -> None:
        """Close the connections."""
        self._client.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and lose the answer if it is the first PATCH."""
        response = super().handle_request(request)
        if request.method != "PATCH" or self.lost:
            return response
        self.lost += 1
        response.read()
        response.close()
        self._meanwhile()
        raise httpx.ReadError("the connection broke", request=request)
