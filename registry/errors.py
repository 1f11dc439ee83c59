"""One tree of errors. Each has a stable `code`, says what was wrong, and says what to do.

RegistryError
├── Refused                     a rule says no; nothing was written
│   ├── BadInput                the value itself cannot be right
│   │   ├── BadIdentity         an identity number that cannot be one
│   │   ├── DoubtfulIdentity    a wrong check character: confirm it, it is never fixed silently
│   │   └── BadCode             not a verification code
│   ├── AlreadyAwarded          the same title to the same holder, with other particulars
│   ├── NumberTaken             the certificate number is another title's within this authority
│   ├── HolderConflict          the identity is registered with other particulars
│   ├── CommitteeRefused        recommend-only committee, or a level or authority that does not fit it
│   ├── WrongState              the step does not follow from the present state
│   ├── Forbidden               this person may not do this here: no such role, or another authority's matter
│   ├── NeedsSecondOfficer      the proposer may not approve, or the content is not what was proposed
│   ├── DocumentRefused         a glyph no font has, or text that does not fit
│   └── ListRefused             an import with errors; all rows refused, each error is listed
├── NotFound                    no such title, holder, application or proposal
├── Unavailable                 could not be done now (busy, unreadable store); says nothing about the matter
│   └── LogFrozen               the log does not extend its last signed checkpoint; nothing is answered or signed
├── ProofInvalid                a proof does not show what it claims to show
└── CorruptHistory              stored facts that no decision could have made
"""

from collections.abc import Sequence
from typing import Any


class RegistryError(Exception):
    """Base of all errors of this package. `code` is stable; `fix` says what the user can do."""

    code = "registry-error"

    def __init__(self, message: str, *, fix: str = "", **about: Any) -> None:
        super().__init__(message)
        self.message, self.fix, self.about = message, fix, about


class Refused(RegistryError):
    """A rule says no. Nothing was written."""

    code = "refused"


class BadInput(Refused):
    """The value itself cannot be right, whatever the state of the registry."""

    code = "bad-input"


class BadIdentity(BadInput):
    """Not an identity number of that kind."""

    code = "bad-identity"


class DoubtfulIdentity(BadInput):
    """The check character is wrong. Historic numbers do exist with one: a person must confirm it (GB 11643-1999)."""

    code = "doubtful-identity"


class BadCode(BadInput):
    """Not a verification code: wrong length, alphabet or check character."""

    code = "bad-code"


class AlreadyAwarded(Refused):
    """The holder already has this title (series, specialty, title name), with other particulars."""

    code = "already-awarded"


class NumberTaken(Refused):
    """The certificate number belongs to another title of the same issuing authority."""

    code = "number-taken"


class HolderConflict(Refused):
    """The identity number is registered under another name, or with another sex or birth date."""

    code = "holder-conflict"


class CommitteeRefused(Refused):
    """The committee cannot award this: it only recommends, or level or authority do not fit (notice, annex 1)."""

    code = "committee-refused"


class WrongState(Refused):
    """The step does not follow from the present state."""

    code = "wrong-state"


class Forbidden(Refused):
    """This person may not do this: no role for it, or none over this authority. It never says what exists there."""

    code = "forbidden"


class NeedsSecondOfficer(Refused):
    """Two officers decide: proposed by one, approved by another over the same content."""

    code = "needs-second-officer"


class DocumentRefused(Refused):
    """The certificate cannot be set: a glyph that no font has, or text that does not fit."""

    code = "document-refused"


class ListRefused(Refused):
    """A list with errors. All or nothing: no row was taken. `errors` holds every row error."""

    code = "list-refused"

    def __init__(self, message: str, errors: Sequence[Any], *, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.errors = errors


class NotFound(RegistryError):
    """There is no such title, holder, application or proposal."""

    code = "not-found"


class Unavailable(RegistryError):
    """It could not be done now. This says nothing about the certificate or the matter."""

    code = "unavailable"


class CorruptHistory(RegistryError):
    """Stored facts that no decision could have made, or bytes that cannot be read."""

    code = "corrupt-history"


class LogFrozen(Unavailable):
    """The log does not extend the last checkpoint that was signed: an old copy, or a fork. Nothing is answered."""

    code = "log-frozen"


class ProofInvalid(RegistryError):
    """An inclusion or consistency proof that does not hold, or that cannot be one of these sizes."""

    code = "proof-invalid"
