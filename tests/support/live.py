"""An installation that went live before a test makes its tickets."""

from __future__ import annotations

from dispatch_returns.client import DispatchClient
from dispatch_returns.connector.go_live import GoLive
from dispatch_returns.store import Store


def go_live(store: Store | str, client: DispatchClient) -> None:
    """Let a store, or the one at a URL, begin: what is `refunded` by now is of before."""
    if isinstance(store, str):
        with Store.open(store) as opened:
            go_live(opened, client)
        return
    workspace = client.scope.workspace
    GoLive(store, client, workspace=lambda: workspace, refunded_status="refunded").complete()
