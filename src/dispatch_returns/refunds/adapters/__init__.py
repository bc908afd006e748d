"""The processors this package speaks to; others are plugins (see `refunds.registry`)."""
