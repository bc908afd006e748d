"""Three books compared: the tickets, the ledger, the processor's refunds."""
