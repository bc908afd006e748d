"""What was bought: orders from wherever the merchant keeps them, and what of them is paid back."""
