"""Pull requests: build what a change touches, say what came of it, clean up."""
