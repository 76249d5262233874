"""What is kept for how long: rows of the books, staged leftovers, files."""
