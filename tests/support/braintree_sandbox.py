"""The Braintree stand-in on a real port; requests and answers are held to Braintree's schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager

from graphql import (
    GraphQLSchema,
    build_schema,
    execute_sync,  # pyright: ignore[reportUnknownVariableType] - typed in part
    parse,
    validate,
)

from dispatch_sandbox.braintree import BraintreeStandIn
from dispatch_sandbox.processors.base import ProcessorReply, ProcessorRequest
from dispatch_sandbox.processors.server import app_of
from tests.support.described import SPECS
from tests.support.stripe_sandbox import serving

SCHEMA: GraphQLSchema = build_schema((SPECS / "braintree-refunds.graphql").read_text("utf-8"))


class DescribedBraintree(BraintreeStandIn):
    """A stand-in that notes every query and answer that does not fit the schema.

    Like GraphQL, it answers with what was asked for and no more.
    """

    def __init__(self, *clock: Callable[[], float]) -> None:
        super().__init__(*clock)
        self.strayed: list[str] = []

    def answer(self, request: ProcessorRequest) -> ProcessorReply:
        reply = super().answer(request)
        if reply.lost or reply.content is None:
            return reply
        asked = json.loads(request.body)
        document = parse(asked["query"])
        self.strayed += [str(it) for it in validate(SCHEMA, document)]
        data = reply.content["data"]
        if data is None:
            return reply
        root = _typed(data)
        done = execute_sync(SCHEMA, document, root, variable_values=asked["variables"])
        self.strayed += [str(it) for it in done.errors or ()]
        return ProcessorReply(reply.status, {**reply.content, "data": done.data})


def _typed(data: dict[str, object]) -> dict[str, object]:
    """Say which type a node has, as Braintree's own server knows it."""
    node = data.get("node")
    if isinstance(node, dict):
        return {**data, "node": {**node, "__typename": "Transaction"}}
    return data


@contextmanager
def serving_braintree(
    *clock: Callable[[], float],
) -> Generator[tuple[DescribedBraintree, str]]:
    """Run a new stand-in; give it with its address. All must fit Braintree's schema."""
    braintree = DescribedBraintree(*clock)
    with serving(app_of(braintree)) as url:
        yield braintree, url
    assert braintree.strayed == []
