"""What the customer is told at each step, each once."""
