"""The login of the local warehouse: a password or a key, both made for this installation.

Both are in Firn's home, beside the folder that the warehouse serves, and only their owner can read
them. A program that can read one of them can log in. The key is for programs that are configured
with the name of a file, such as dbt; all others use the password.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from . import LOGIN_FILE
from .secret_files import make_once

SETTING = "FIRN_LOCAL_PASSWORD"
START, STOP = "firn warehouse start", "firn warehouse stop"


class LocalLoginError(ValueError):
    """The password or the key is missing or damaged.

    The message says which file it is and what to do. It contains no secret.
    """


@dataclass(frozen=True)
class LocalLogin:
    """The password and the key of one local warehouse.

    Args:
        home: Firn's home.
        setting: the value of `FIRN_LOCAL_PASSWORD`, which replaces the password in the file.
    """

    home: Path
    setting: str | None = field(default=None, repr=False)

    @property
    def password_file(self) -> Path:
        """Where the password is kept; not used if one is set."""
        return self.home / LOGIN_FILE

    @property
    def key_file(self) -> Path:
        """The private key, in PEM and without a passphrase."""
        return self.home / "local_key.p8"

    @property
    def origin(self) -> str:
        """Where to find the password, as part of a sentence."""
        return f"that of {SETTING}" if self.setting else f"in {self.password_file}"

    def make(self) -> None:
        """Make the files that are missing. If several programs try at once, one makes them for all.

        Raises:
            LocalLoginError: the files cannot be written.
        """
        try:
            if not self.setting:
                make_once(self.password_file, _new_password)
            make_once(self.key_file, _new_key)
        except OSError as error:
            raise LocalLoginError(
                f"The local warehouse's password cannot be kept in {self.home} "
                f"({error.strerror}): set FIRN_HOME to a folder of your own on a local disk."
            ) from None

    def password(self) -> str:
        """The password.

        Raises:
            LocalLoginError: it has not been made yet, or cannot be read.
        """
        if self.setting:
            return self.setting
        try:
            found = self.password_file.read_text("ascii").strip()
        except FileNotFoundError:
            raise LocalLoginError(
                f"There is no password of the local warehouse in {self.password_file}: start it "
                f"with `{START}`; if it runs already, stop it first with `{STOP}`, or set "
                f"FIRN_HOME or {SETTING} to the value that the running one was started with."
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise LocalLoginError(
                f"{self.password_file} cannot be read ({type(error).__name__}): make it a text "
                "file that you may read. Or remove it, stop the local warehouse with "
                f"`{STOP}` if it runs, and start it with `{START}`, which makes another one."
            ) from None
        if not found:
            raise LocalLoginError(
                f"{self.password_file} is empty: remove it, stop the local warehouse with `{STOP}` "
                f"if it runs, and start it with `{START}`, which makes another one."
            )
        return found

    def key(self) -> RSAPrivateKey:
        """The private key.

        Raises:
            LocalLoginError: there is none, or the file is damaged.
        """
        try:
            key = load_pem_private_key(self.key_file.read_bytes(), None)
        except (OSError, ValueError, TypeError):
            key = None
        if not isinstance(key, RSAPrivateKey):
            raise LocalLoginError(
                f"{self.key_file} holds no private key: remove it, and start the local warehouse "
                "again to have another one made."
            )
        return key


def _new_password() -> bytes:
    return secrets.token_urlsafe(32).encode()


def _new_key() -> bytes:
    key = generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
