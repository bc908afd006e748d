"""`dispatch-returns demo`: 25 returns, from the request to the refund, with faults on the way.

The Dispatch API and Stripe are local test doubles. The receiver, the store, the refunds and every
HTTP call between them are real.
"""
