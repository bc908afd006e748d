"""Paying back exactly once: the adapter protocol, the guard, the service."""
