"""Lazy faces: what a room hands on to users is imported when it is first used.

A face says its names to people in `__all__`, to type checkers in an import under
``TYPE_CHECKING``, and here, for run time, where each is defined.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # importing typing would cost more than `import dispatch_returns` may
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def lazy(
    face: str, names: list[str], rest: str, homes: Mapping[str, Iterable[str]] | None = None
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and the ``__dir__`` of the module `face`, which has these `names`.

    `homes` maps a module to the names that it defines; `rest` is the module of all others. A
    module is relative to the face: ``.adapter`` is a file of its room, ``..errors`` one beside
    it, and ``.`` is for names that are modules themselves.
    """
    home_of = dict.fromkeys(names, rest)
    home_of |= {name: home for home, of_home in (homes or {}).items() for name in of_home}

    def get(name: str) -> object:
        if name not in home_of:
            raise AttributeError(f"module {face!r} has no attribute {name!r}")
        from importlib import import_module

        home = home_of[name]
        if home == ".":
            return import_module(f".{name}", face)
        value = getattr(import_module(home, face), name)
        setattr(sys.modules[face], name, value)
        return value

    return get, lambda: names
