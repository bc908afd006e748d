"""Several calls that belong together, such as the three of an upload. No I/O.

A flow is a generator: it yields what is to be done next and is sent what came of it, so that
one description serves the blocking and the async client.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeAlias, TypeVar

from dispatch_returns.client.operation import Operation
from dispatch_returns.client.transfer import Download, Upload

T = TypeVar("T")

Step: TypeAlias = Operation[Any] | Upload | Download
Flow: TypeAlias = Generator[Step, Any, T]


def ask(operation: Operation[T]) -> Flow[T]:
    """Carry out `operation` as one step of a flow, and return its answer with its type."""
    answer: T = yield operation
    return answer
