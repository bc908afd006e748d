"""The blocking and the async client behind one face, so that one test holds for both."""

from __future__ import annotations

import asyncio
from operator import attrgetter
from typing import Any, Protocol

from dispatch_returns.client import (
    AsyncDispatchClient,
    AsyncPortalClient,
    DispatchClient,
    PortalClient,
    PortalToken,
)

KEY = "sk_test_not_to_be_shown"


class Caller(Protocol):
    """Calls a method of a client by its name, such as ``tickets.get``."""

    client: Any
    waits: list[float]
    """How long the client would have slept between attempts."""

    def call(self, name: str, /, *args: Any, **arguments: Any) -> Any: ...
    def collect(self, name: str, /, **arguments: Any) -> list[Any]: ...
    def close(self) -> None: ...


class Blocking:
    """The blocking client."""

    client: Any

    def __init__(
        self, url: str, *, key: str = KEY, workspace: str = "ws_1", **options: Any
    ) -> None:
        self.waits: list[float] = []
        settings: dict[str, Any] = {"sleep": self.waits.append, "random": lambda: 0.0}
        self.client = DispatchClient(key, workspace, base_url=url, **settings | options)

    def call(self, name: str, /, *args: Any, **arguments: Any) -> Any:
        return attrgetter(name)(self.client)(*args, **arguments)

    def collect(self, name: str, /, **arguments: Any) -> list[Any]:
        return list(self.call(name, **arguments))

    def close(self) -> None:
        self.client.close()


class Asynchronous:
    """The async client, in a loop of its own."""

    client: Any

    def __init__(
        self, url: str, *, key: str = KEY, workspace: str = "ws_1", **options: Any
    ) -> None:
        self.waits: list[float] = []
        self.runner = asyncio.Runner()
        settings: dict[str, Any] = {"sleep": self._sleep, "random": lambda: 0.0}
        self.client = AsyncDispatchClient(key, workspace, base_url=url, **settings | options)

    def call(self, name: str, /, *args: Any, **arguments: Any) -> Any:
        return self.runner.run(attrgetter(name)(self.client)(*args, **arguments))

    def collect(self, name: str, /, **arguments: Any) -> list[Any]:
        async def all_items() -> list[Any]:
            return [item async for item in attrgetter(name)(self.client)(**arguments)]

        return self.runner.run(all_items())

    def close(self) -> None:
        self.runner.run(self.client.aclose())
        self.runner.close()

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


class PortalBlocking(Blocking):
    """The blocking client of the customer's side."""

    client: Any

    def __init__(self, url: str, *, token: str | PortalToken) -> None:
        self.waits: list[float] = []
        self.client = PortalClient(token, base_url=url, sleep=self.waits.append)


class PortalAsynchronous(Asynchronous):
    """The async client of the customer's side."""

    client: Any

    def __init__(self, url: str, *, token: str | PortalToken) -> None:
        self.waits: list[float] = []
        self.runner = asyncio.Runner()
        self.client = AsyncPortalClient(token, base_url=url, sleep=self._sleep)
