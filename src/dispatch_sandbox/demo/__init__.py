"""`dispatch-returns demo`: 25 returns, from the request to the money, with everything going wrong.

The Dispatch API and Stripe are local stand-ins. The receiver, the store, the refund path and
every HTTP call between them are the real ones.
"""
