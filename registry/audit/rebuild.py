"""Fold every stream anew and judge it. What comes of the states goes to a sink, which compares it with what is kept.

Flat memory: one stream is in memory at a time.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import MAXYEAR
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any

from keys.errors import KeysError
from keys.keyring import Keyring
from keys.vault import DataKey
from registry.audit import laws
from registry.audit.certificates import certificates
from registry.audit.findings import Code, Finding, Findings
from registry.audit.layout import Row
from registry.audit.roles import Roles
from registry.audit.scratch import BATCH, Sink
from registry.catalogue.adoption import Adopted
from registry.errors import CorruptHistory
from registry.holders.holder import Holder
from registry.keyset.keyset import KeySets
from registry.log.facts import Recorded
from registry.log.kind import Kind
from registry.log.mapper import decode, unseal
from registry.officers.officer import Officer
from registry.streams import kind_of
from registry.titles.state import Title

KeyOf = Callable[[str], DataKey | None]


def by_stream(rows: Iterable[Row]) -> Iterator[tuple[str, Iterator[Row]]]:
    """Group events that come in order of stream."""
    return groupby(rows, key=itemgetter(1))


class _StreamBroken(Exception):
    """This stream cannot be folded any further; the finding is in the argument."""


class Rebuild:
    """Takes all streams in order, and hands what their states are to a sink.

    `key_of` opens personal fields; `keyring` checks certificates (None: not at all); `first` is the leaf index of the
    first event; `roles` has seen the same events and tells who might record them (None: no law is asked).
    """

    def __init__(
        self,
        sink: Sink,
        findings: Findings,
        *,
        keyring: Keyring | None = None,
        key_of: KeyOf | None = None,
        first: int = 0,
        roles: Roles | None = None,
    ) -> None:
        self._first, self._roles = first, roles
        self._sink, self._findings, self._keyring = sink, findings, keyring
        self._key_of = self._guarded(key_of) if key_of else None
        self.streams = 0
        self.digests: tuple[str, ...] = ()
        self.keysets: KeySets | None = None

    def take_all(self, rows: Iterable[Row], progress: Callable[[int], None] | None = None) -> int:
        """Take all events in order of stream and version, and return how many; tell how many are done now and then."""
        done = reported = 0
        for stream, events in by_stream(rows):
            done += self._take(stream, events)
            if progress and done - reported >= BATCH:
                progress(done)
                reported = done
        self._sink.flush()
        if progress:
            progress(done)
        return done

    def _take(self, stream: str, rows: Iterator[Row]) -> int:
        events = list(rows)
        self.streams += 1
        try:
            kind = _kind(stream)
            state = self._fold(kind, events)
        except _StreamBroken as broken:
            self._findings.add(broken.args[0])
            return len(events)
        self._judge(stream, state)
        self._sink.put(stream, kind, state)
        return len(events)

    def _fold(self, kind: Kind[Any], rows: Iterable[Row]) -> Any:
        state, evolve = None, kind.evolve
        for expected, row in enumerate(rows, 1):
            if row[2] != expected:
                raise _broken(row, Code.VERSION, "版本号不连续", expected=str(expected), found=str(row[2]))
            event = _decoded(row)
            if self._key_of:
                event = self._open(event, self._key_of)
            if self._roles:
                self._ask(self._roles, state, row[3], event)
            try:
                state = evolve(state, event)
            except CorruptHistory as error:
                raise _broken(row, Code.FOLD, error.message) from error
        return state

    def _ask(self, roles: Roles, state: Any, name: str, event: Recorded[Any]) -> None:
        for finding in laws.before(state, name, event):
            self._findings.add(finding)
        for finding in roles.check(state, event):
            self._findings.add(finding)

    def _open(self, event: Recorded[Any], key_of: KeyOf) -> Recorded[Any]:
        try:
            return unseal(event, key_of)
        except CorruptHistory as error:
            place: dict[str, Any] = {"position": event.position, "stream": event.stream, "version": event.version}
            self._findings.add(Finding(code=Code.SEAL, message=error.message, **place))
            return event

    def _guarded(self, key_of: KeyOf) -> KeyOf:
        """A stream asks for one or two holders again and again; a wrapped key that is damaged is a finding."""

        def guarded(holder: str) -> DataKey | None:
            try:
                return key_of(holder)
            except KeysError as error:
                self._findings.add(Finding(code=Code.SEAL, message=f"数据密钥已损坏：{error.message}", stream=holder))
                return None

        return lru_cache(maxsize=64)(guarded)

    def _judge(self, stream: str, state: Any) -> None:
        if isinstance(state, Title):
            for finding in certificates(state, self._keyring, self._first) if self._keyring else ():
                self._findings.add(finding)
        elif isinstance(state, (Holder, Officer)):
            for finding in laws.of_stream(stream, state):
                self._findings.add(finding)
            self._judge_key(stream, erased=isinstance(state, Holder) and state.erased is not None)
        elif isinstance(state, Adopted):
            self.digests = state.digests
        elif isinstance(state, KeySets):
            self.keysets = state

    def _judge_key(self, stream: str, *, erased: bool) -> None:
        """Whoever was erased has no data key, and everybody else has one."""
        without = self._key_of is not None and self._key_of(stream) is None
        if without or erased:
            self._sink.put_erased(stream)
        if self._key_of is None or without == erased:
            return
        code = Code.ERASURE if erased else Code.KEY_MISSING
        message = "个人信息已删除，数据密钥仍在" if erased else "没有数据密钥，而没有删除的决定"
        self._findings.add(Finding(code=code, message=message, stream=stream))


def _kind(stream: str) -> Kind[Any]:
    try:
        return kind_of(stream)
    except CorruptHistory as error:
        raise _StreamBroken(Finding(code=Code.STREAM, message=error.message, stream=stream)) from error


def _decoded(row: Row) -> Recorded[Any]:
    position, stream, version, name, state = row
    try:
        event = decode(stream, version, name, state, position)
    except CorruptHistory as error:
        raise _broken(row, Code.EVENT, error.message) from error
    if event.recorded_at.tzinfo is None or event.recorded_at.year == MAXYEAR:
        raise _broken(row, Code.EVENT, "登记时间没有时区，或不可能")
    return event


def _broken(
    row: Row, code: Code, message: str, *, expected: str | None = None, found: str | None = None
) -> _StreamBroken:
    return _StreamBroken(
        Finding(
            code=code,
            message=message,
            position=row[0],
            stream=row[1],
            version=row[2],
            expected=expected,
            found=found,
        )
    )
