"""Generated data of every domain, for machines without an account."""
