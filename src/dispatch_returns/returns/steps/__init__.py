"""The six steps: what follows from where a return's ticket is, done once and written down."""
