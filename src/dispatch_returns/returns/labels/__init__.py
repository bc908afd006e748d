"""Return labels: bought once, or printed without any account."""
