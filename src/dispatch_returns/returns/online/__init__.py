"""Returns that customers ask for online: who may see an order, and the request that they make."""
