"""Who runs the work between "accepted" and "done"."""
