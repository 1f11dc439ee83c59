"""One tree of errors for keys and signatures. Each has a stable `code`, says what was wrong, and what to do.

KeysError
├── WrongPassphrase         the passphrase does not open the secrets
├── PassphraseMissing       no passphrase was given, or one that cannot be used
├── LoosePermissions        a secret file that others on this machine may touch
├── KeyStoreExists          keys are there already; they are never overwritten
├── KeyStoreBroken          a key file or key set that is missing, unreadable or contradicts itself
├── BackEndMissing          a package or module that this way of keeping keys needs is not installed
├── CustodyUnavailable      the device that holds the keys cannot be reached, or refuses
│   └── WrongPin            the device refuses the PIN; it is not tried again until its file changes
├── UnknownKey              no key of that id in the key ring
├── KeyNotUsable            expired, not yet valid, retired, compromised, or for another purpose or algorithm
├── SignatureInvalid        the bytes were not signed by that key for that purpose
│   └── TokenMalformed      not a token in the one form that we write; no signature was looked at
├── KeySetRefused           a key set document that may not follow the one in force, or lacks approvals
└── SealBroken              sealed bytes that were changed, moved, or sealed under another key
"""


class KeysError(Exception):
    """Base of all errors of this package. `code` is stable; `fix` says what the user can do."""

    code = "keys-error"

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(f"{message}。{fix}" if fix else message)
        self.message, self.fix = message, fix


class WrongPassphrase(KeysError):
    """The passphrase does not open the secrets, or their file was changed (the two cannot be told apart)."""

    code = "wrong-passphrase"


class PassphraseMissing(KeysError):
    """No passphrase was given, or an empty one."""

    code = "passphrase-missing"


class LoosePermissions(KeysError):
    """A secret file or its folder has a permission bit for group or others."""

    code = "loose-permissions"


class KeyStoreExists(KeysError):
    """The folder holds something already. Keys are never overwritten."""

    code = "key-store-exists"


class KeyStoreBroken(KeysError):
    """A key file or key set is missing, unreadable, or contradicts itself."""

    code = "key-store-broken"


class BackEndMissing(KeysError):
    """A package or module that this way of keeping keys needs is not installed."""

    code = "back-end-missing"


class CustodyUnavailable(KeysError):
    """The device that holds the keys cannot be reached, refuses, or cannot do what is needed."""

    code = "custody-unavailable"


class WrongPin(CustodyUnavailable):
    """The device refuses the PIN, or there is none. A refused PIN is not tried again until its file changes."""

    code = "wrong-pin"


class UnknownKey(KeysError):
    """The key ring has no key of that id."""

    code = "unknown-key"


class KeyNotUsable(KeysError):
    """The key must not sign: expired, not yet valid, retired, compromised, or of another purpose or algorithm."""

    code = "key-not-usable"


class SignatureInvalid(KeysError):
    """The bytes were not signed by that key for that purpose."""

    code = "signature-invalid"


class TokenMalformed(SignatureInvalid):
    """Not a token in the one form that we write. No signature was looked at."""

    code = "token-malformed"


class KeySetRefused(KeysError):
    """A key set document is malformed, may not follow the one in force, or lacks approvals. Nothing was changed."""

    code = "key-set-refused"


class SealBroken(KeysError):
    """Sealed bytes that were changed, moved to another place, or sealed under another key."""

    code = "seal-broken"
