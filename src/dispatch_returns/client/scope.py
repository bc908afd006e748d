"""The two wire styles of one API, and the workspace a client works in.

`workspaces` is the returns guide's style: ``/workspaces/{id}`` and snake_case. `brands` is
the vendor's SDK's: ``/brands/{id}``, camelCase, and ``title`` for a ticket's subject. What has
neither word in its path (the account, the customers' portal) is known from that SDK alone.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from dispatch_returns.client import arguments
from dispatch_returns.client.exact_json import dumps
from dispatch_returns.errors import InvalidArgumentError

Style: TypeAlias = Literal["workspaces", "brands"]


def camel(name: str) -> str:
    """Return the snake_case `name` in camelCase."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


_RENAMED = {
    "subject": "title",
    "workspace_id": "brandId",
    "workspace_ids": "brandIds",
    "all_workspaces": "allBrands",
}


@functools.cache
def brands_name(name: str) -> str:
    """Return what the `brands` style calls what we call `name`."""
    return _RENAMED.get(name) or camel(name)


@dataclass(frozen=True, slots=True)
class Scope:
    """A workspace, and the style in which it is spoken of. Both are checked.

    `people` is the word for customers in a path: the API serves them under either.
    """

    workspace: str
    style: Style = "workspaces"
    people: Literal["customers", "contacts"] = "customers"

    def __post_init__(self) -> None:
        arguments.segment("workspace", self.workspace)
        if self.style not in get_args(Style):
            raise InvalidArgumentError("style", 'must be "workspaces" or "brands"')

    def path(self, *segments: str) -> str:
        """Return the path of something inside the workspace; `segments` are checked ones."""
        return "/".join(("", self.style, self.workspace, *segments))

    def name(self, name: str) -> str:
        """Return how the API calls what we call `name`."""
        return name if self.style == "workspaces" else brands_name(name)

    def body(self, fields: Mapping[str, object]) -> bytes:
        """Return `fields` as a JSON object: the names are this style's, what is within the
        values keeps its own names and order.
        """
        entries = [f'"{self.name(name)}":{dumps(item, name)}' for name, item in fields.items()]
        return f"{{{','.join(entries)}}}".encode("ascii")
