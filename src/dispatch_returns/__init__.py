"""Returns as tickets in Dispatch, refunds through Stripe, each paid exactly once."""
