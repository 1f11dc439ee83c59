"""One logged-in session with a PKCS#11 token (OASIS PKCS#11 v2.40), shared by all threads of a process.

A process talks to its modules one call at a time: they are initialised without locks of their own. A session that was
lost (token drawn and put back, module restarted, process forked) is opened again once; what then still fails is an
error of ours that says what to do. A PIN that was refused is not tried again until its file changes: tokens lock
themselves after a few wrong ones.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from keys.errors import BackEndMissing, CustodyUnavailable, KeysError, KeyStoreBroken, WrongPin
from keys.files import read_private

if TYPE_CHECKING:
    from pkcs11 import Session
    from pkcs11 import Token as Slot

T = TypeVar("T")

# What says that the session, and not the request, is at fault. A general error may be either.
_LOST = frozenset(
    (
        "CryptokiNotInitialized",
        "DeviceError",
        "DeviceRemoved",
        "FunctionFailed",
        "GeneralError",
        "KeyHandleInvalid",
        "NoSuchToken",
        "ObjectHandleInvalid",
        "OperationNotInitialized",
        "SessionClosed",
        "SessionHandleInvalid",
        "SlotIDInvalid",
        "TokenNotPresent",
        "TokenNotRecognised",
        "UserAlreadyLoggedIn",
        "UserNotLoggedIn",
    )
)
_REFUSED_PIN = ("PinIncorrect", "PinInvalid", "PinLenRange", "PinExpired")


class Token:
    """A token, found by its label through the module at that path, with the PIN in a file of mode 0600."""

    def __init__(self, module: str, label: str, pin_file: Path) -> None:
        self._module, self._label, self._pin_file = module, label, pin_file
        self._session: Session | None = None
        self._start = -1
        self._keys: dict[tuple[str, str], Any] = {}
        self._refused_pin: str | None = None

    @classmethod
    def at(cls, module: str, label: str, pin_file: Path) -> "Token":
        """Return the one object that this process has for that token."""
        return _shared(module, label, pin_file)

    def use(self, work: Callable[["Session"], T]) -> T:
        """Do something with an open session, once more with a fresh one if the session was lost.

        Raise BackEndMissing, CustodyUnavailable, WrongPin, LoosePermissions or KeyStoreBroken.
        """
        errors = library()
        with _process.lock:
            try:
                return work(self._opened())
            except _Absent:
                pass  # a session with a token that is gone may find nothing, instead of failing
            except errors.PKCS11Error as error:
                if type(error).__name__ not in _LOST:
                    raise self._refusal(error) from error
            _process.restart(self._module)
            try:
                return work(self._opened())
            except errors.PKCS11Error as error:
                raise self._refusal(error) from error

    def key(self, kind: str, label: str) -> Any:
        """Return the one key of that class (PRIVATE_KEY, PUBLIC_KEY, SECRET_KEY) and label; only within `use`.

        Raise KeyStoreBroken if there is none, or more than one.
        """
        if (kind, label) not in self._keys:
            p, session = library(), self._opened()
            wanted = {p.Attribute.CLASS: p.ObjectClass[kind], p.Attribute.LABEL: label}
            found = list(session.get_objects(wanted))
            if len(found) != 1:
                raise self._not_one(len(found), f"标签为 {label} 的密钥（{kind}）")
            self._keys[kind, label] = found[0]
        return self._keys[kind, label]

    def forget(self, kind: str, label: str, _: object = None) -> None:
        """Destroy a key; only within `use`."""
        self.key(kind, label).destroy()
        del self._keys[kind, label]

    def _opened(self) -> "Session":
        if self._session is None or self._start != _process.start(self._module):
            self._session = None
            self._keys.clear()
            slot = self._find()
            self._session = self._log_in(slot)
            self._start = _process.start(self._module)
        return self._session

    def _find(self) -> "Slot":
        """Find the token. Every module is loaded by its path, and none that the machine happens to offer."""
        p = library()
        if not Path(self._module).is_file():
            raise BackEndMissing(f"找不到 PKCS#11 模块 {self._module}", fix="请安装它，或修正 custody.json 中的 module")
        try:
            slot: Slot = _process.load(self._module).get_token(token_label=self._label)
            return slot
        except p.MultipleTokensReturned as error:
            raise CustodyUnavailable(f"有不止一个加密机的标签是 {self._label}", fix="请给它们不同的标签") from error

    def _log_in(self, slot: "Slot") -> "Session":
        p, pin = library(), _read_pin(self._pin_file)
        if pin == self._refused_pin:
            raise self._wrong_pin()
        try:
            return slot.open(rw=True, user_pin=pin)
        except tuple(getattr(p, name) for name in _REFUSED_PIN) as error:
            self._refused_pin = pin
            raise self._wrong_pin() from error

    def _wrong_pin(self) -> WrongPin:
        fix = f"请改正 {self._pin_file}；在它改变以前不会再试，以免加密机被锁死"
        return WrongPin(f"加密机 {self._label} 拒绝了 PIN", fix=fix)

    def _not_one(self, number: int, what: str) -> KeyStoreBroken:
        if number:
            return KeyStoreBroken(f"加密机 {self._label} 中有 {number} 个{what}", fix="请只保留属于这个密钥库的那一个")
        fix = "请核对 custody.json 中的 token，或从加密机自己的备份恢复"
        return _Absent(f"加密机 {self._label} 中没有{what}", fix=fix)

    def _refusal(self, error: Exception) -> KeysError:
        name = type(error).__name__
        fix = {
            "NoSuchToken": "请插入加密机或启动其服务，并核对 custody.json 中的 token",
            "PinLocked": "请用管理员 PIN（SO PIN）解锁",
        }.get(name, "请检查加密机及其日志，然后重试")
        return CustodyUnavailable(f"加密机 {self._label} 无法使用：{name} {error}".rstrip(), fix=fix)


class _Absent(KeyStoreBroken):
    """The session finds no such key."""


def library() -> ModuleType:
    """Return the package python-pkcs11. Raise BackEndMissing if it is not installed."""
    try:
        return import_module("pkcs11")
    except ImportError as error:
        raise BackEndMissing(
            "没有安装 PKCS#11 所需的软件包 python-pkcs11", fix="请安装 title-registry[pkcs11]"
        ) from error


class _Process:
    """What belongs to the process and not to a token: the lock, and how often each module was started."""

    def __init__(self) -> None:
        self.lock = RLock()
        self._starts: dict[str, int] = {}
        self._to_start: set[str] = set()

    def start(self, module: str) -> int:
        """The number of this start; a session of another start is lost, and its handles may now mean something else."""
        return self._starts.setdefault(module, 0)

    def restart(self, module: str) -> None:
        """Have the module started again before its next use, which ends all its sessions."""
        self._starts[module] = self.start(module) + 1
        self._to_start.add(module)

    def load(self, module: str) -> Any:
        """Return the loaded module, started. Raise BackEndMissing if it is not one."""
        p = library()
        try:
            loaded = p.lib(module)
        except p.PKCS11Error as error:
            if type(error) is not p.PKCS11Error:  # the module answered
                raise
            raise BackEndMissing(
                f"{module} 不是可用的 PKCS#11 模块：{error}", fix="请修正 custody.json 中的 module"
            ) from error
        if module in self._to_start:
            with suppress(p.PKCS11Error):  # after a fork it was never started in this process
                loaded.finalize()
            loaded.initialize()
            self._to_start.discard(module)
        return loaded

    def forked(self) -> None:
        """In a child: the parent's lock may be held for ever, and its sessions are not ours (PKCS#11 section 5.4)."""
        self.lock = RLock()
        for module in list(self._starts):
            self.restart(module)


_process = _Process()
os.register_at_fork(after_in_child=_process.forked)


@cache
def _shared(module: str, label: str, pin_file: Path) -> Token:
    return Token(module, label, pin_file)


def _read_pin(path: Path) -> str:
    pin = read_private(path).decode(errors="replace").removesuffix("\n").removesuffix("\r")
    if not pin:
        raise WrongPin(f"PIN 文件 {path} 是空的", fix="请写入加密机的用户 PIN，权限 600")
    return pin
