"""Whether the log vouches for a token: a proof that its signing was logged, signed by a key that nobody has stolen."""

import hashlib

from keys.cose import to_be_signed, verify1
from keys.errors import KeysError
from keys.keyring import Keyring
from keys.signing import KeyState
from registry.audit.layout import read_event
from registry.errors import RegistryError
from registry.log.mapper import decode
from registry.proof.checkpoint import NoteKey, read_checkpoint
from registry.proof.leaf import leaf_entry
from registry.proof.note import split_note
from registry.proof.signers import log_keys
from registry.proof.tlog_proof import TlogProof
from registry.titles.events import CertificateSigned
from registry.titles.token import TYP


def leaf_vouched_for(proof: bytes | None, token: bytes, keyring: Keyring) -> int | None:
    """The leaf of the certificate that this token is of, as the log itself says it; None if it does not say so.

    (1) the proof carries the event by which a certificate was signed; (2) that event is in the log, by a checkpoint of
    a key that is not compromised (a thief could date one back); (3) it is the signing of this very token.
    """
    if proof is None:
        return None
    try:
        found = TlogProof.parse(proof)
        row = read_event(found.extra or b"")
        position, stream, version, name, state = row
        fact = decode(stream, version, name, state, position).fact  # (1)
        if not _in_log(found, leaf_entry(*row), keyring):  # (2)
            return None
    except (RegistryError, KeysError, ValueError):
        return None
    return fact.leaf if isinstance(fact, CertificateSigned) and _same(fact, token, keyring) else None  # (3)


def _in_log(proof: TlogProof, entry: bytes, keyring: Keyring) -> bool:
    origin = read_checkpoint(split_note(proof.checkpoint)[0]).origin
    return any(_holds(proof, entry, key) for key in _trusted(keyring, origin))


def _trusted(keyring: Keyring, origin: str) -> list[NoteKey]:
    return log_keys(Keyring(one for one in keyring.records if one.state is not KeyState.COMPROMISED), origin)


def _holds(proof: TlogProof, entry: bytes, key: NoteKey) -> bool:
    try:
        proof.verify(entry, key)
    except (RegistryError, KeysError):
        return False
    return True


def _same(fact: CertificateSigned, token: bytes, keyring: Keyring) -> bool:
    verified = verify1(keyring, TYP, token)
    digest = hashlib.sha256(to_be_signed(verified.kid, TYP, verified.payload)).digest()
    return (fact.kid, fact.signature, fact.digest) == (verified.kid, verified.signature, digest)
