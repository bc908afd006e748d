"""Verified deliveries: signature, events, receiver; a mount for each framework."""
