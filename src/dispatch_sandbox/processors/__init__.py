"""What the stand-ins of payment processors share: faults, a clock, webhooks, and their HTTP."""
