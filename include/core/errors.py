"""The one base of errors that whoever runs Firn can mend."""

from __future__ import annotations


class UserError(Exception):
    """Something that the user can mend.

    The message is for the user: what is wrong, where, and what to do. Commands print it, without a
    trace, and end with exit code 2.
    """


class SettingError(UserError, ValueError):
    """A setting has a value that cannot be used."""
