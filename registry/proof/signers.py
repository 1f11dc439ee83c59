"""Who signs for a log: the name it signs under, its keys of now and of before, and a note opened with one of them."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from keys.errors import KeysError
from keys.keyring import Keyring
from keys.signing import Algorithm, Purpose
from registry.errors import BadInput, RegistryError
from registry.proof.checkpoint import Checkpoint, NoteKey, open_checkpoint
from registry.proof.cosignature import CosignerKey

T = TypeVar("T")


def origin_of(base_url: str) -> str:
    """The name of a registry's log: its address without the scheme (C2SP tlog-checkpoint), and "/log"."""
    return base_url.partition("://")[2] + "/log"


def log_keys(keyring: Keyring, origin: str) -> list[NoteKey]:
    """Every key that signs or has signed this log's checkpoints, as note keys."""
    own = [keyring.find(one.kid) for one in keyring.records if one.purpose is Purpose.CHECKPOINT]
    return [NoteKey.of(origin, key) for key in own]


def cosigner_keys(keyring: Keyring, origin: str) -> list[CosignerKey]:
    """Every ML-DSA-44 key with which this log cosigns or has cosigned its own checkpoints."""
    own = [keyring.find(one.kid) for one in keyring.records if one.purpose is Purpose.COSIGNATURE]
    return [CosignerKey.of(origin, key) for key in own if key.algorithm is Algorithm.ML_DSA_44]


def open_by(note: bytes, keys: Iterable[NoteKey]) -> Checkpoint:
    """The checkpoint in a note that one of these keys has signed. Raise SignatureInvalid, BadInput."""
    return first_that_opens(lambda key: open_checkpoint(note, key), keys)


def first_that_opens(open_with: Callable[[NoteKey], T], keys: Iterable[NoteKey]) -> T:
    """What the first key gives that raises nothing. Raise what the last one raised, BadInput without a key."""
    failed: RegistryError | KeysError = BadInput("没有可用于核对的检查点公钥", fix="检查密钥环")
    for key in keys:
        try:
            return open_with(key)
        except (RegistryError, KeysError) as error:  # the next key may be the one
            failed = error
    raise failed
