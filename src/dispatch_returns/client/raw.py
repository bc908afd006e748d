"""An answer together with the HTTP answer it came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RawResponse(Generic[T]):
    """What ``with_raw_response`` gives: ``value`` is what the call otherwise returns.

    ``headers`` are found in upper and in lower case. A ``repr`` shows neither them nor a customer's
    data.
    """

    status_code: int
    request_id: str | None
    headers: Mapping[str, str] = field(repr=False)
    value: T = field(repr=False)
