"""The account: ``/accounts/me``. The path names no style: the answers are in camelCase."""

from __future__ import annotations

from dispatch_returns.client import answers, operation
from dispatch_returns.client.models import Account, Usage
from dispatch_returns.client.operation import Operation, Scope


def me(scope: Scope) -> Operation[Account]:
    """Return the account the key belongs to."""
    del scope  # the key knows
    return operation.get("/accounts/me", answers.one(Account))


def usage(scope: Scope) -> Operation[Usage]:
    """Return how many tickets and workspaces the account has, and what its plan allows."""
    del scope
    return operation.get("/accounts/me/usage", answers.one(Usage))
