"""What an event leads to: a refund, and what the ticket is told about it."""
