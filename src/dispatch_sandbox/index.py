"""Sorted keys with cheap pages: finding a place costs a binary search, a page its own length."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from dispatch_sandbox.answers import Problem, Reply, invalid
from dispatch_sandbox.wire import Record

Key = tuple[str, int]
"""What is sorted by, and the object's number, which makes the order total."""

MAX_LIMIT = 100
DEFAULT_LIMIT = 50


class Index:
    """The keys of one order."""

    def __init__(self) -> None:
        self._keys: list[Key] = []

    def add(self, key: Key) -> None:
        """Put a key at its place."""
        insort(self._keys, key)

    def remove(self, key: Key) -> None:
        """Take a key out."""
        del self._keys[bisect_left(self._keys, key)]

    def walk(self, after: Key | None, *, descending: bool) -> Iterator[Key]:
        """Go through the keys, from the first one beyond ``after``."""
        keys = self._keys
        if descending:
            start = len(keys) if after is None else bisect_left(keys, after)
            return (keys[place] for place in range(start - 1, -1, -1))
        start = 0 if after is None else bisect_right(keys, after)
        return (keys[place] for place in range(start, len(keys)))


class Listing:
    """Objects in several orders at once; ``orders`` says what each one sorts by."""

    def __init__(self, orders: Mapping[str, Callable[[Record], str]]) -> None:
        self._orders = orders
        self._indexes = {sort: Index() for sort in orders}
        self._numbers: dict[str, int] = {}
        self._records: dict[int, Record] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: Record) -> None:
        """List an object, behind all others that sort the same."""
        self._last += 1
        self._numbers[record["id"]] = self._last
        self._records[self._last] = record
        for sort, key in self._keys(record):
            self._indexes[sort].add(key)

    def remove(self, record: Record) -> None:
        """List an object no more."""
        for sort, key in self._keys(record):
            self._indexes[sort].remove(key)
        del self._records[self._numbers.pop(record["id"])]

    def change(self, record: Record, values: Record) -> None:
        """Set fields of a listed object, and put it where it now belongs."""
        before = self._keys(record)
        record.update(values)
        for (sort, old), (_, new) in zip(before, self._keys(record), strict=True):
            if old != new:
                self._indexes[sort].remove(old)
                self._indexes[sort].add(new)

    def walk(
        self, sort: str, after: Key | None, *, descending: bool
    ) -> Iterator[tuple[Key, Record]]:
        """Go through the objects in one order, from the first one beyond ``after``."""
        records = self._records
        keys = self._indexes[sort].walk(after, descending=descending)
        return ((key, records[key[1]]) for key in keys)

    def _keys(self, record: Record) -> list[tuple[str, Key]]:
        number = self._numbers[record["id"]]
        return [(sort, (value(record), number)) for sort, value in self._orders.items()]


@dataclass(frozen=True, slots=True)
class Paging:
    """One request for a page: how it is sorted, how long it is, and where it starts."""

    sort: str
    descending: bool
    limit: int
    after: Key | None

    @classmethod
    def read(
        cls, query: Mapping[str, str], sorts: Mapping[str, str], most: int = MAX_LIMIT
    ) -> Paging:
        """Read ``limit``, ``cursor``, ``sort`` and ``order``; ``sorts`` maps spellings to names."""
        sort = sorts.get(query.get("sort", "createdAt"))
        if sort is None:
            raise invalid(Problem("sort", f"must be one of {', '.join(dict.fromkeys(sorts))}"))
        order = query.get("order", "desc")
        if order not in ("asc", "desc"):
            raise invalid(Problem("order", "must be asc or desc"))
        limit = query.get("limit", str(DEFAULT_LIMIT))
        short = limit.isascii() and limit.isdigit() and len(limit) <= 3
        if not short or not 1 <= int(limit) <= most:
            raise invalid(Problem("limit", f"must be a number from 1 to {most}"))
        cursor = query.get("cursor")
        return cls(
            sort=sort,
            descending=order == "desc",
            limit=int(limit),
            after=None if cursor is None else _read_cursor(cursor, sort),
        )

    @staticmethod
    def query(sorts: Mapping[str, str], most: int = MAX_LIMIT) -> dict[str, Record]:
        """Return the JSON Schema of each word that ``read`` understands."""
        return {
            "limit": {"type": "integer", "minimum": 1, "maximum": most},
            "cursor": {"type": "string"},
            "sort": {"type": "string", "enum": list(sorts)},
            "order": {"type": "string", "enum": ["asc", "desc"]},
        }

    def page(
        self,
        listing: Listing,
        keep: Callable[[Record], bool],
        show: Callable[[Record], Record],
    ) -> Reply:
        """Return the page, with a cursor only if more follows."""
        found: list[Record] = []
        last: Key | None = None
        for key, record in listing.walk(self.sort, self.after, descending=self.descending):
            if not keep(record):
                continue
            if last is not None and len(found) == self.limit:
                return _page(found, f"{last[1]}|{self.sort}|{last[0]}")
            found.append(show(record))
            last = key
        return _page(found, None)


def _page(found: list[Record], place: str | None) -> Reply:
    cursor = (
        None if place is None else urlsafe_b64encode(place.encode(errors="surrogatepass")).decode()
    )
    pagination = {"hasMore": cursor is not None, "cursor": cursor, "nextCursor": cursor}
    return Reply(found, pagination=pagination)


def _read_cursor(cursor: str, sort: str) -> Key:
    try:
        number, sorted_by, value = (
            urlsafe_b64decode(cursor).decode(errors="surrogatepass").split("|", 2)
        )
        if sorted_by == sort:
            return value, int(number)
    except ValueError:
        pass
    raise invalid(Problem("cursor", "is not a cursor of this list"))
