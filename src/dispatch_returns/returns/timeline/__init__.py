"""The whole story of a return: steps, decisions, money, messages; who and when."""
