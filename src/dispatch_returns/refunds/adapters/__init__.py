"""The processors that this package supports; others are plugins (see `refunds.registry`)."""
