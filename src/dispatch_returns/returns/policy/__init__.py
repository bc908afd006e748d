"""May this come back? The merchant's rules, and why they said what they said."""

from dispatch_returns.returns.policy.book import PolicyBook
from dispatch_returns.returns.policy.policy import ReturnPolicy

__all__ = ["PolicyBook", "ReturnPolicy"]
