"""Checks of what the project is made of: `python -m supply_chain --help`."""
