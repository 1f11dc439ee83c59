"""Whether the log still extends the last checkpoint that was signed. If not, nothing is answered and nothing is signed.

An old copy that was put back would un-revoke certificates, and a fork would tell two stories. The last signed
checkpoint lies in a second store outside the data folder, so that a copy of the folder cannot bring it back in time.
"""

import os
from pathlib import Path

from keys.errors import KeysError
from registry.errors import LogFrozen, RegistryError
from registry.proof.tlog import TransparencyLog


class Continuity:
    """Watches one log. `require` costs one look at a file while nothing was signed."""

    def __init__(self, tlog: TransparencyLog) -> None:
        self._tlog = tlog
        self._seen: object = "nothing yet"

    @property
    def outside(self) -> Path:
        """Where the last signed checkpoint lies, outside the data folder."""
        return self._tlog.outside

    def require(self) -> None:
        """Return if the log extends the last signed checkpoint. Raise LogFrozen otherwise, each time it is asked."""
        stamp = self._stamp()
        if stamp != self._seen:
            self._tlog.compare()
            self._seen = stamp

    def examine(self) -> str | None:
        """What is wrong, in words, or None."""
        try:
            self._tlog.compare()
        except LogFrozen as error:
            return f"{error.message}（{error.fix}）"
        except (RegistryError, KeysError) as error:
            return error.message
        return None

    def _stamp(self) -> object:
        try:
            found = os.stat(self.outside)
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size
