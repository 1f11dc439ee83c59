"""Passwords: what may be one, and its argon2id hash (RFC 9106).

A hash costs 46 MiB and two passes: more than the least that OWASP's Password Storage Cheat Sheet (2023) asks for, which
is 46 MiB and one pass. A hash of other parameters is made anew when its owner signs in.
"""

import base64
import re
import secrets
import threading
import unicodedata

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from registry.errors import BadInput

LEAST, MOST = 12, 128
LEAST_DIFFERENT = 5
_AT_ONCE = 4  # hashes at once in a process: a crowd at the door must not take all the memory

# The commonest passwords of published leaks that are long enough to pass otherwise, and what people here would try.
# They are compared without case, blanks and marks, and without digits at the end.
_WORDS = """
    password passwordpassword mypassword passw0rd p4ssw0rd adminpassword changeme changemenow letmein letmeinplease
    welcome welcomewelcome administrator adminadmin adminadminadmin administrators superadministrator rootroot
    qwerty qwertyuiop qwertyuiopas qwertyuiopasdfghjkl qwertyqwerty asdfghjkl asdfghjklzxcvbnm zxcvbnm zxcvbnmasdfghjkl
    qazwsxedcrfv qazwsxedc 1qaz2wsx3edc 1qaz2wsx3edc4rfv 1qazxsw23edc zaq12wsxcde3 1q2w3e4r5t 1q2w3e4r5t6y
    1q2w3e4r5t6y7u8i q1w2e3r4t5y6 abcdefghijkl abcdefghijklmnop abcdefghijklmnopqrstuvwxyz abc123456789 a123456789
    123456789abc 123456789qwe 123qweasdzxc qweasdzxc qwe123456789 iloveyou iloveyouforever trustnoone trustno1trustno1
    sunshine princess football monkeymonkey dragondragon superman batman starwars computer internet whatever
    woaini woaini1314520 woaini5201314 woainiwoaini woaiwojia woaizhongguo wodemima mimamima nihaoma nihaonihao
    zhongguo zhonghuarenmin beijing shanghai hangzhou zhejiang lishui lishuishi lishuirenshe liandu qingtian jinyun
    longquan suichang songyang yunhe qingyuan jingning rensheju zhicheng zhichengxitong titleregistry
    correcthorsebatterystaple
"""
COMMON = frozenset(_WORDS.split())
_STRAIGHT = "0123456789012345678901234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm"


class Cost(msgspec.Struct, frozen=True):
    """What one hash costs: memory in KiB, passes over it, lanes side by side."""

    memory: int = 46 * 1024
    passes: int = 2
    lanes: int = 1


class Passwords:
    """Hashes and verifies. Each verification costs the same, whether there is such an account or not."""

    def __init__(self, cost: Cost) -> None:
        self._hasher = PasswordHasher(cost.passes, cost.memory, cost.lanes, hash_len=32, salt_len=16)
        self._turn = threading.BoundedSemaphore(_AT_ONCE)
        salt, tag = (base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32))
        # Looks like a hash and is none of any password: nobody knows what would have this tag.
        self.nobodys = f"$argon2id$v=19$m={cost.memory},t={cost.passes},p={cost.lanes}${salt}${tag}"

    def hash(self, password: str) -> str:
        """The hash of a password, with its parameters and salt (PHC string)."""
        with self._turn:
            return self._hasher.hash(normal(password))

    def verify(self, kept: str, password: str) -> bool:
        """Whether this is the password of a hash."""
        try:
            with self._turn:
                return self._hasher.verify(kept, normal(password))
        except (VerificationError, InvalidHashError):
            return False

    def is_old(self, kept: str) -> bool:
        """Whether a hash was made with other parameters than ours now."""
        return self._hasher.check_needs_rehash(kept)


def normal(password: str) -> str:
    """A password as it is hashed: NFKC, so that full-width letters of an input method are the same (RFC 8265)."""
    return unicodedata.normalize("NFKC", password)


def check_new(password: str, login: str) -> None:
    """Raise BadInput for a password that nobody should have; any character may stand in one (NIST SP 800-63B)."""
    text = normal(password)
    if not LEAST <= len(text) <= MOST:
        raise BadInput(f"密码须为 {LEAST} 至 {MOST} 个字符", fix="例如用几个不相干的词组成一句话")
    if login.casefold() in text.casefold():
        raise BadInput("密码不能包含账号名", fix="换一个密码")
    if _is_common(text.casefold()):
        raise BadInput("这个密码过于常见，容易被猜到", fix="例如用几个不相干的词组成一句话")


def _is_common(text: str) -> bool:
    bare = re.sub(r"[\W_]+", "", text)
    worn = bare.rstrip("0123456789")
    runs = (*_STRAIGHT, *(one[::-1] for one in _STRAIGHT))
    return (
        len(set(text)) < LEAST_DIFFERENT
        or any(bare in run for run in runs)
        or not {bare, worn, worn.lstrip("0123456789")}.isdisjoint(COMMON)
    )
