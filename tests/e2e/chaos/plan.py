"""What is going to happen: returns, deliveries and blows. The seed says all of it."""

from __future__ import annotations

import enum
import itertools
import random
from dataclasses import dataclass


class Kind(enum.StrEnum):
    """What there is about a return."""

    PLAIN = "plain"
    EARLY = "early"
    """Its first event comes before its ticket is `refunded`."""
    TWIN = "twin"
    """Shares its charge with another return; there is enough for both."""
    RIVAL = "rival"
    """Shares its charge with another return; there is enough for one."""
    UNPAYABLE = "unpayable"
    """Its ticket lacks what it must carry."""


class Blow(enum.StrEnum):
    """What is done to the system under test."""

    KILL_WORKER = "workers killed"
    KILL_RECEIVER = "receivers killed"
    STALL_WORKER = "workers stopped for longer than their lease"
    RESTART_DATABASE = "database restarts"
    CUT_SESSIONS = "all database sessions cut"
    STEP_CLOCK = "clock steps"
    LOSE_RESPONSE = "processor's responses lost after it acted"
    STORED_500 = "stored 500s"
    RATE_LIMIT = "429s of the processor"
    CONFLICT = "409s of the processor"
    SLOW = "slow answers of the processor"
    API_ERROR = "500s of the Dispatch API"
    API_LIMIT = "429s of the Dispatch API"
    RESTART_BROKER = "broker restarts, which lose every message"


# How many returns there are for each blow of a kind.
_ONE_IN = {
    Blow.KILL_WORKER: 40,
    Blow.KILL_RECEIVER: 100,
    Blow.STALL_WORKER: 120,
    Blow.RESTART_DATABASE: 250,
    Blow.CUT_SESSIONS: 150,
    Blow.STEP_CLOCK: 50,
    Blow.LOSE_RESPONSE: 12,
    Blow.STORED_500: 25,
    Blow.RATE_LIMIT: 20,
    Blow.CONFLICT: 40,
    Blow.SLOW: 40,
    Blow.API_ERROR: 25,
    Blow.API_LIMIT: 40,
    Blow.RESTART_BROKER: 200,
}


@dataclass(frozen=True, slots=True)
class PlannedReturn:
    """One ticket. ``payment`` numbers the charge; amounts are minor units."""

    number: int
    kind: Kind
    payment: int
    charged: int
    amount: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One time that an event is delivered; ``final``: its ticket is `refunded` from here on."""

    number: int
    event: int
    final: bool

    @property
    def event_id(self) -> str:
        """The sender's id: the same for each copy."""
        return f"evt_{self.number}_{self.event}"


@dataclass(frozen=True, slots=True)
class PlannedBlow:
    """A blow after so many deliveries; ``chance`` (0 to 1) decides its details."""

    at: int
    blow: Blow
    chance: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole of it."""

    seed: int
    returns: tuple[PlannedReturn, ...]
    deliveries: tuple[Delivery, ...]
    blows: tuple[PlannedBlow, ...]
    duplicated: int
    reordered: int
    delayed: int


def make(seed: int, returns: int, *, broker: bool = False) -> Plan:
    """Return the plan of this seed; with a `broker`, that one is restarted too."""
    chance = random.Random(seed)
    planned = tuple(_returns(chance, returns))
    events = [event for it in planned for event in _events(chance, it)]
    copies = [event for event in events for _ in range(chance.choice((1, 1, 1, 2, 3)))]
    delayed = {number for number in range(len(copies)) if chance.random() < 0.03}
    # Most arrive near their turn, some much later.
    turn = {
        number: number + chance.gauss(0, 8) + (chance.uniform(50, 300) if number in delayed else 0)
        for number in range(len(copies))
    }
    order = sorted(turn, key=lambda number: turn[number])
    deliveries = tuple(copies[number] for number in order)
    reordered = sum(now > then for now, then in itertools.pairwise(order))
    planned_blows = _blows(chance, returns, len(deliveries))
    blows = tuple(
        it
        for it in sorted(planned_blows, key=lambda it: it.at)
        if broker or it.blow is not Blow.RESTART_BROKER
    )
    repeats = len(copies) - len(events)
    return Plan(seed, planned, deliveries, blows, repeats, reordered, len(delayed))


def _returns(chance: random.Random, returns: int) -> list[PlannedReturn]:
    planned: list[PlannedReturn] = []
    payment = 0
    while len(planned) < returns:
        payment += 1
        kind = chance.choices(list(Kind), (70, 12, 5, 3, 6))[0]
        charged = chance.randrange(1_000, 50_000)
        if kind in {Kind.TWIN, Kind.RIVAL} and returns - len(planned) > 1:
            shares = (30, 70) if kind is Kind.TWIN else (80, 60)
            for share in shares:
                amount = charged * share // 100
                planned.append(PlannedReturn(len(planned), kind, payment, charged, amount))
            continue
        if kind in {Kind.TWIN, Kind.RIVAL}:
            kind = Kind.PLAIN
        amount = charged if chance.random() < 0.7 else charged // 2
        planned.append(PlannedReturn(len(planned), kind, payment, charged, amount))
    return planned


def _events(chance: random.Random, planned: PlannedReturn) -> list[Delivery]:
    if planned.kind is Kind.EARLY:
        return [Delivery(planned.number, 1, final=False), Delivery(planned.number, 2, final=True)]
    number = chance.choice((1, 1, 2))
    return [Delivery(planned.number, event, final=True) for event in range(1, number + 1)]


def _blows(chance: random.Random, returns: int, deliveries: int) -> list[PlannedBlow]:
    return [
        PlannedBlow(chance.randrange(deliveries), blow, chance.random())
        for blow, one_in in _ONE_IN.items()
        for _ in range(max(1, returns // one_in))
    ]
