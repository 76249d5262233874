"""How a commit gets into production, and back out of it."""
