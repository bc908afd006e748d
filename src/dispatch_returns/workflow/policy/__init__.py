"""May this come back? The merchant's rules, and why they said what they said."""
