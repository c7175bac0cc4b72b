"""How we prove to etcd who we are, and it to us: TLS, and user and password."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from failoverd.errors import CoordinatorUnavailable, StartupError


def tls_context(*, ca: Path | None, cert: Path | None, key: Path | None) -> ssl.SSLContext:
    """Raises ``StartupError`` where a file cannot be used. Without ``ca`` the machine's own authorities are trusted."""
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    except OSError as error:  # ssl.SSLError among them
        raise StartupError(f"coordinator.tls.ca: {ca}: {reason(error)}") from error
    if cert is None:
        return context
    try:
        # A key with a passphrase must fail, not ask at the terminal.
        context.load_cert_chain(str(cert), None if key is None else str(key), password=lambda: "")
    except OSError as error:
        raise StartupError(f"coordinator.tls: {cert} with {key}: {reason(error)}") from error
    return context


def reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    username: str
    password_file: Path

    def password(self) -> str:
        """Read whenever it is needed, so that it may be changed in place; a final line feed is not part of it.

        Raises ``CoordinatorUnavailable``.
        """
        try:
            return self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = reason(error) if isinstance(error, OSError) else "is not UTF-8"
            raise CoordinatorUnavailable(f"coordinator.password_file: {self.password_file}: {why}") from error
