"""Makes this package the one of its name: libraries install a `tests` of theirs."""
