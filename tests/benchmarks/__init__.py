"""Measurements against what one would otherwise use: `python3 dev.py bench`. Never a gate."""
