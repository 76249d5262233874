"""The command ``firn``, a module for each group of its commands."""
