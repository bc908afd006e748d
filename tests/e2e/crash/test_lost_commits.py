"""A commit that happened, and whose answer was lost: doing it again does no harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import dispatch_sandbox
from dispatch_returns.connector.connector import Connector
from dispatch_returns.connector.settings import Settings
from dispatch_returns.errors import StoreUnavailableError
from dispatch_returns.store import Store
from dispatch_returns.webhooks.receiver import Receiver
from tests.e2e.crash.points import ON_THE_WAY
from tests.e2e.crash.returns import Place, Processor, a_return_that_became_refunded
from tests.support import postgres, webhooks
from tests.support.relay import Relay, relay

pytestmark = pytest.mark.crash

AFTER_THE_LEASE = timedelta(minutes=10)
WRITES = [step for step in ON_THE_WAY if not step.startswith(("adapter.", "comments.", "tickets."))]


@pytest.fixture
def lossy() -> Iterator[Relay]:
    with postgres.new_database() as url, relay(url) as lossy:
        yield lossy


@pytest.fixture
def place(lossy: Relay, dispatch: dispatch_sandbox.Sandbox, stand_in: Processor) -> Place:
    return Place(lossy.url, dispatch, stand_in)


def lose(connector: Connector, lossy: Relay, step: str) -> None:
    """Lose the answer to the first commit of `step`."""
    write = connector.store.write

    def watched(name: str, work: Callable[[Any], Any]) -> Any:
        if name == step and lossy.lost == 0:
            lossy.lose_next_commit()
        return write(name, work)

    connector.store.write = watched  # type: ignore[method-assign]


@pytest.mark.parametrize("step", [*WRITES, "refund.claim", "refund.sending"])
def test_a_commit_without_an_answer_leaves_exactly_one_refund(
    place: Place, lossy: Relay, step: str
) -> None:
    returned = a_return_that_became_refunded(place)
    ahead = timedelta()
    with Connector(Settings(**returned.settings), clock=lambda: datetime.now(UTC) + ahead) as it:
        if step in {"refund.claim", "refund.sending"}:
            kill_before_the_call(it)
            ahead += AFTER_THE_LEASE
        lose(it, lossy, step)
        try:
            it.work_off()
        except StoreUnavailableError:
            assert step.endswith(".claim"), "what is claimed fails alone, and is logged"
        assert lossy.lost == 1, f"{step} is not on the way"
        ahead += AFTER_THE_LEASE
        it.work_off()
    returned.was_paid_once(place)


def kill_before_the_call(connector: Connector) -> None:
    """Leave a refund behind that was announced and not called."""

    def dies(_request: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(next(iter(connector.adapters.values())), "refund", dies)
        with pytest.raises(KeyboardInterrupt):
            connector.work_off()


def test_a_delivery_whose_commit_has_no_answer_is_sent_again_and_kept_once(lossy: Relay) -> None:
    body = webhooks.event_body()
    with Store.open(lossy.url) as store:
        receiver = Receiver(store, webhooks.SECRET, clock=webhooks.clock)
        store.check_writable()
        lossy.lose_next_commit()
        answers = [receiver.receive("POST", webhooks.signed(body), body).status for _ in range(2)]
        assert answers == [503, 200]
        assert len(webhooks.stored(store)) == 1
