"""How fast things are, measured side by side on this machine."""
