"""Whose signatures and cosignatures make a checkpoint good enough (C2SP tlog-policy), one statement on a line.

    log <verifier key> [<address>]                 any one of the logs must have signed; none listed: not looked at
    witness <name> <verifier key> [<address>]      names are of this file only
    group <name> all|any|<k> <member>…             k of its members, which are witnesses or groups of lines before
    quorum <name>|none                             what must have cosigned; exactly one such line

Blanks and tabs separate; empty lines and lines that begin with # say nothing. A line that cannot be right is refused
with its number: (1) an octet that no policy may have, (2) a key or a name twice, (3) a name that no line before
defines, (4) a member twice, in whatever groups, so that a witness counts in one way only, (5) a k that no subset has.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from registry.errors import BadInput
from registry.proof.checkpoint import NoteKey, open_checkpoint
from registry.proof.cosignature import CosignerKey, cosignatures
from registry.proof.note import split_note

MAX_BYTES, MAX_EACH = 1_000_000, 99  # a note has at most 100 signatures, and one of them is the log's
NONE = "none"

_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_COUNT = re.compile(r"[1-9][0-9]{0,2}")
_FORMS = {
    "log": "log <公钥> [<地址>]",
    "witness": "witness <名称> <公钥> [<地址>]",
    "group": "group <名称> all|any|<k> <成员>…",
    "quorum": "quorum <名称>|none",
}


class Group(NamedTuple):
    """A group has cosigned when that many of its members have."""

    name: str
    threshold: int
    members: tuple[str, ...]


class Judgement(NamedTuple):
    """Whether a checkpoint meets a policy, which of its witnesses cosigned (by name), and what is missing, in words."""

    met: bool
    by: tuple[str, ...]
    why: str = ""


@dataclass(frozen=True)
class Policy:
    """The logs and witnesses that are trusted, and the quorum. Addresses are as written, and None if there is none."""

    logs: Sequence[tuple[NoteKey, str | None]]
    witnesses: Mapping[str, tuple[CosignerKey, str | None]]
    groups: Sequence[Group]
    quorum: str

    @classmethod
    def parse(cls, data: bytes) -> "Policy":
        """Read a policy file. Raise BadInput with the number of the line (also `about["line"]`) and what is wrong."""
        if len(data) > MAX_BYTES:
            raise BadInput(f"见证策略超过 {MAX_BYTES} 字节", fix="核对文件")
        draft, lines = _Draft(), data.split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                draft.take(line)
            except BadInput as error:
                raise BadInput(f"见证策略第 {number} 行：{error.message}", fix=error.fix, line=number) from error
        if not draft.quorum:
            message = f"见证策略到第 {len(lines)} 行为止没有 quorum"
            raise BadInput(message, fix=f"加一行 {_FORMS['quorum']}", line=len(lines))
        return cls(tuple(draft.logs), draft.witnesses, tuple(draft.groups), draft.quorum)

    def met_by(self, note: bytes) -> Judgement:
        """Judge a checkpoint by the signatures in its note. Times of cosignatures are not judged.

        Raise SignatureInvalid if a key of this policy has a line there that fails (C2SP signed-note), BadInput for
        what is no checkpoint.
        """
        held = {one.key for one in cosignatures(note, [key for key, _ in self.witnesses.values()])}
        by = tuple(name for name, (key, _) in self.witnesses.items() if key in held)
        if self.logs and not self._signed(note):
            return Judgement(False, by, "策略所列的日志都没有签署")
        cosigned = {NONE, *by}
        for group in self.groups:  # a member is defined before its group
            if sum(member in cosigned for member in group.members) >= group.threshold:
                cosigned.add(group.name)
        if self.quorum not in cosigned:
            return Judgement(False, by, f"联署不足：{self.quorum} 未满足，已联署的有 {'、'.join(by) or '（无）'}")
        return Judgement(True, by)

    def _signed(self, note: bytes) -> bool:
        """Whether one of the logs signed the note, as its own checkpoint."""
        named = {(one.name, one.key_id) for one in split_note(note)[1]}
        own = [key for key, _ in self.logs if (key.name, key.id) in named]
        return bool([open_checkpoint(note, key) for key in own])


@dataclass
class _Draft:
    """What the lines so far have said."""

    logs: list[tuple[NoteKey, str | None]] = field(default_factory=list)
    witnesses: dict[str, tuple[CosignerKey, str | None]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    quorum: str = ""
    members: set[str] = field(default_factory=set)

    def take(self, line: bytes) -> None:
        """Take in one line. Raise BadInput if it cannot be right."""
        if found := _FORBIDDEN.search(line):  # (1)
            raise BadInput(f"有不允许的字符 0x{found[0].hex()}", fix="只用换行、制表符和可见字符，行尾不要用 CRLF")
        # Octets that are no UTF-8 may be in names; they must survive printing, not look nice.
        words = [word.decode(errors="backslashreplace") for word in re.split(rb"[ \t]+", line) if word]
        match words:
            case []:
                pass
            case [first, *_] if first.startswith("#"):
                pass
            case ["log", key] | ["log", key, _]:
                self._log(NoteKey.parse(key), *words[2:])
            case ["witness", name, key] | ["witness", name, key, _]:
                self._witness(name, CosignerKey.parse(key), *words[3:])
            case ["group", name, count, _, *_]:
                self._group(name, count, tuple(words[3:]))
            case ["quorum", name]:
                self._quorum(name)
            case [word, *_]:
                fix = f"写作 {_FORMS[word]}" if word in _FORMS else f"行首只能是 {'、'.join(_FORMS)}"
                raise BadInput(f"“{word}”的写法不对" if word in _FORMS else f"不认识“{word}”", fix=fix)

    def _log(self, key: NoteKey, url: str | None = None) -> None:
        if key.public in {known.public for known, _ in self.logs}:  # (2)
            raise BadInput(f"日志 {key.name} 的公钥已在前面列出", fix="每个公钥只列一次")
        _count(self.logs)
        self.logs.append((key, url))

    def _witness(self, name: str, key: CosignerKey, url: str | None = None) -> None:
        self._new(name)
        if key.public in {known.public for known, _ in self.witnesses.values()}:  # (2)
            raise BadInput(f"见证人 {name} 的公钥已在前面列出", fix="每个公钥只列一次")
        _count(self.witnesses)
        self.witnesses[name] = (key, url)

    def _group(self, name: str, count: str, members: tuple[str, ...]) -> None:
        self._new(name)
        for member in members:
            self._known(member)
            if member in self.members:  # (4)
                raise BadInput(f"成员“{member}”已在一个组里", fix="每个名称只作一次成员")
            self.members.add(member)
        _count(self.groups)
        self.groups.append(Group(name, _threshold(count, len(members)), members))

    def _quorum(self, name: str) -> None:
        if self.quorum:
            raise BadInput("quorum 已在前面写过", fix="只写一行 quorum")
        if name != NONE:
            self._known(name)
        self.quorum = name

    def _new(self, name: str) -> None:
        if name == NONE or self._defined(name):  # (2)
            raise BadInput(f"名称“{name}”是保留的，或已在前面用过", fix="换一个名称")

    def _known(self, name: str) -> None:
        if not self._defined(name):  # (3)
            raise BadInput(f"前面没有定义“{name}”", fix="先定义见证人或组，再引用")

    def _defined(self, name: str) -> bool:
        return name in self.witnesses or any(group.name == name for group in self.groups)


def _threshold(count: str, members: int) -> int:
    wanted = {"all": members, "any": 1}.get(count) or (int(count) if _COUNT.fullmatch(count) else 0)
    if not 1 <= wanted <= members:  # (5)
        raise BadInput(f"“{count}”应为 all、any，或 1 到 {members} 的数", fix=f"写作 {_FORMS['group']}")
    return wanted


def _count(so_far: Sequence[object] | Mapping[str, object]) -> None:
    if len(so_far) >= MAX_EACH:
        raise BadInput(f"日志、见证人、组各不得超过 {MAX_EACH} 个", fix="拆分策略")
