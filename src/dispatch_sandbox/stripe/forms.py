"""Form encoding with nested names, such as ``metadata[order_id]=1`` and ``expand[0]=charge``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias
from urllib.parse import parse_qsl

from dispatch_sandbox.stripe.problems import StripeRequestError, invalid

Node: TypeAlias = "str | dict[str, Node]"
Pairs: TypeAlias = "list[tuple[str, str]]"

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")
_MAX_FIELDS = 1000


def parse_pairs(encoded: bytes) -> Pairs:
    """Return the names and values of a query string or a form body."""
    try:
        return parse_qsl(
            encoded.decode("utf-8", "replace"),
            keep_blank_values=True,
            errors="replace",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:
        raise invalid(f"Received more than {_MAX_FIELDS} parameters.") from None


def nest(pairs: Iterable[tuple[str, str]]) -> dict[str, Node]:
    """Return the nested form; an array is a dict of its indices, in order."""
    form: dict[str, Node] = {}
    for name, value in pairs:
        if "[" not in name and "]" not in name:
            form[name] = value
            continue
        match = _NAME.fullmatch(name)
        if match is None:
            raise _malformed(name)
        *parents, last = [match[1], *_PART.findall(match[2])]
        node = form
        for parent in parents:
            child = node.setdefault(parent, {})
            if isinstance(child, str):
                raise _malformed(name)
            node = child
        node[last or str(len(node))] = value
    return form


def _malformed(name: str) -> StripeRequestError:
    root = name.partition("[")[0]
    if root == "metadata":
        return invalid("Metadata keys may not contain square brackets.", param="metadata")
    return invalid(f"Invalid parameter name: {name[:80]}", code="parameter_unknown", param=root)
