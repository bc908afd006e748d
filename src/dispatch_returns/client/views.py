"""How a resource's methods are made from operations: once, for both clients and every view.

A resource is a class whose attributes are the functions of `client.operations`. What a call
returns depends on the resource's view: the answer itself, a coroutine of it, or either of these
with the HTTP answer around it. So the clients can't drift apart.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from dispatch_returns.client.operation import Flow, Operation, Page, RawResponse, Scope, signature
from dispatch_returns.errors import InvalidArgumentError

if TYPE_CHECKING:
    from dispatch_returns.client.drivers import AsyncDriver, BlockingDriver

P = ParamSpec("P")
T = TypeVar("T")
V = TypeVar("V", bound="Blocking | Asynchronous | BlockingRaw | AsynchronousRaw")
R1 = TypeVar("R1")
R2 = TypeVar("R2")


class Blocking:
    """A call returns the answer."""

    def __init__(self, caller: BlockingDriver) -> None:
        self.caller = caller

    def carry_out(self, operation: Operation[T]) -> T:
        """Carry out a call."""
        return self.caller.call(operation)

    def run(self, flow: Flow[T]) -> T:
        """Carry out several calls, one after the other."""
        return self.caller.run(flow)

    def walk(self, first: Operation[Page[T]]) -> Iterator[T]:
        """Walk over pages."""
        return self.caller.walk(first)


class Asynchronous:
    """A call returns a coroutine of the answer."""

    def __init__(self, caller: AsyncDriver) -> None:
        self.caller = caller

    def carry_out(self, operation: Operation[T]) -> Coroutine[Any, Any, T]:
        """Carry out a call."""
        return self.caller.call(operation)

    def run(self, flow: Flow[T]) -> Coroutine[Any, Any, T]:
        """Carry out several calls, one after the other."""
        return self.caller.run(flow)

    def walk(self, first: Operation[Page[T]]) -> AsyncIterator[T]:
        """Walk over pages."""
        return self.caller.walk(first)


class BlockingRaw:
    """A call returns the answer and the HTTP answer it came in."""

    def __init__(self, caller: BlockingDriver) -> None:
        self.caller = caller

    def carry_out(self, operation: Operation[T]) -> RawResponse[T]:
        """Carry out a call."""
        return self.caller.call_raw(operation)


class AsynchronousRaw:
    """A call returns a coroutine of the answer and the HTTP answer it came in."""

    def __init__(self, caller: AsyncDriver) -> None:
        self.caller = caller

    def carry_out(self, operation: Operation[T]) -> Coroutine[Any, Any, RawResponse[T]]:
        """Carry out a call."""
        return self.caller.call_raw(operation)


_RAW: dict[type, Any] = {Blocking: BlockingRaw, Asynchronous: AsynchronousRaw}


class Resource(Generic[V]):
    """The base of the resources."""

    def __init__(self, view: V, scope: Scope) -> None:
        self._view = view
        self._scope = scope

    def with_options(self, *, timeout: float | None = None, max_retries: int | None = None) -> Self:
        """Return this resource with another `timeout` (seconds) or `max_retries`, for one call
        or for many. The connections are the same.
        """
        caller: Any = self._view.caller
        changed = caller.with_options(timeout=timeout, max_retries=max_retries)
        return type(self)(type(self._view)(changed), self._scope)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._view.caller!r})"


class _Attribute:
    """An attribute that makes a method when it is first looked up, and leaves it there."""

    def __init__(self, build: Callable[..., Any], act: str, answers: dict[type, str]) -> None:
        self.build = build
        self._act = act
        self._answers = answers
        self._signatures: dict[type, inspect.Signature] = {}

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def _bind(self, resource: Resource[Any]) -> Any:
        view, scope, build = resource._view, resource._scope, self.build  # pyright: ignore[reportPrivateUsage]
        kind: type[Any] = type(view)  # pyright: ignore[reportUnknownVariableType]
        if kind not in self._answers:
            raise AttributeError(f"{self.name} is more than one answer: there is no raw one")
        act = getattr(view, self._act)

        def method(*args: Any, **kwargs: Any) -> Any:
            try:
                described = build(scope, *args, **kwargs)
            except TypeError:
                self._check_names(resource, kwargs)
                raise
            return act(described)

        update_wrapper(method, build).__name__ = self.name
        if kind not in self._signatures:
            self._signatures[kind] = signature(self.build, self._answers[kind])
        method.__dict__["__signature__"] = self._signatures[kind]
        resource.__dict__[self.name] = method
        return method

    def _check_names(self, resource: Resource[Any], given: Iterable[str]) -> None:
        """Raise `InvalidArgumentError` for a name that is not one of the method's arguments."""
        known = [*inspect.signature(self.build).parameters][1:]
        for name in given:
            if name not in known:
                import difflib  # here: only a misspelt name needs it

                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
                method = f"{type(resource).__name__.lower()}.{self.name}"
                problem = f"{method} has no such argument; {hint}"
                raise InvalidArgumentError(name, problem) from None


class Method(_Attribute, Generic[P, T]):
    """A method that carries out the operation `build` describes, with the same arguments."""

    def __init__(self, build: Callable[Concatenate[Scope, P], Operation[T]]) -> None:
        raw = "RawResponse[{}]"
        answers = {Blocking: "{}", Asynchronous: "{}", BlockingRaw: raw, AsynchronousRaw: raw}
        super().__init__(build, "carry_out", answers)

    @overload
    def __get__(self, resource: None, owner: type) -> Self: ...
    @overload
    def __get__(self, resource: Resource[Blocking], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, resource: Resource[Asynchronous], owner: type
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(
        self, resource: Resource[BlockingRaw], owner: type
    ) -> Callable[P, RawResponse[T]]: ...
    @overload
    def __get__(
        self, resource: Resource[AsynchronousRaw], owner: type
    ) -> Callable[P, Coroutine[Any, Any, RawResponse[T]]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        return self if resource is None else self._bind(resource)


class Pages(_Attribute, Generic[P, T]):
    """A method that walks over all pages from the one `build` describes."""

    def __init__(self, build: Callable[Concatenate[Scope, P], Operation[Page[T]]]) -> None:
        answers = {Blocking: "Iterator[{}]", Asynchronous: "AsyncIterator[{}]"}
        super().__init__(build, "walk", answers)

    @overload
    def __get__(self, resource: None, owner: type) -> Self: ...
    @overload
    def __get__(self, resource: Resource[Blocking], owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(
        self, resource: Resource[Asynchronous], owner: type
    ) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        return self if resource is None else self._bind(resource)


class Steps(_Attribute, Generic[P, T]):
    """A method that carries out the several calls of a flow."""

    def __init__(self, build: Callable[Concatenate[Scope, P], Flow[T]]) -> None:
        super().__init__(build, "run", {Blocking: "{}", Asynchronous: "{}"})

    @overload
    def __get__(self, resource: None, owner: type) -> Self: ...
    @overload
    def __get__(self, resource: Resource[Blocking], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, resource: Resource[Asynchronous], owner: type
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        return self if resource is None else self._bind(resource)


class RawView(Generic[R1, R2]):
    """``with_raw_response``: the same resource, whose calls return a `RawResponse`."""

    @overload
    def __get__(self, resource: None, owner: type) -> Self: ...
    @overload
    def __get__(self, resource: Resource[Blocking], owner: type) -> R1: ...
    @overload
    def __get__(self, resource: Resource[Asynchronous], owner: type) -> R2: ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        if resource is None:
            return self
        view = resource._view  # pyright: ignore[reportPrivateUsage]
        if type(view) not in _RAW:
            raise AttributeError("this is the raw view already")
        return owner(_RAW[type(view)](view.caller), resource._scope)  # pyright: ignore[reportPrivateUsage]
