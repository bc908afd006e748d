"""Each of these tests runs with the blocking client and with the async one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.api_callers import Asynchronous, Blocking, Caller
from tests.support.api_server import ApiServer

MakeCaller = Callable[..., Caller]


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer().running() as running:
        yield running


@pytest.fixture(params=[Blocking, Asynchronous], ids=["blocking", "async"])
def make_caller(request: pytest.FixtureRequest, server: ApiServer) -> Iterator[MakeCaller]:
    """Makes a caller with a client's options, and closes it."""
    made: list[Caller] = []

    def make(url: str = server.url, **options: object) -> Caller:
        made.append(request.param(url, **options))
        return made[-1]

    yield make
    for caller in made:
        caller.close()


@pytest.fixture
def caller(make_caller: MakeCaller) -> Caller:
    return make_caller()
