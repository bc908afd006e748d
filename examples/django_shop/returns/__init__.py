"""The shop's app for returns."""
