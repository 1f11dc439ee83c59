"""Check an audit export of a title registry, on any machine, without the registry and without its program.

    python -I verify_export.py DIR [--json] [--checkpoint FILE]... [--key VKEY] [--policy FILE] [--jobs N]

Needs Python 3.11 and `cryptography` 50. It shares no code with the registry: it was written from docs/formats.md,
docs/events.md, docs/adr/0004-audit-export.md, RFC 6962, 7638, 9053 and C2SP signed-note, tlog-checkpoint, tlog-tiles,
tlog-cosignature, tlog-policy. It came with the export: compare its SHA-256 with the published one before you use it.

    --checkpoint   checkpoints that you kept from before, or got from a witness: this history must extend each of them
    --key          the log key that you trust (name+id+key); without it the export vouches for itself
    --policy       your own trust policy (C2SP tlog-policy): the newest checkpoint must have its quorum of witnesses

Exit status: 0 all well; 2 wrong use; else the smallest of the kinds that were found (the report lists all):
10 files and manifest; 11 keys and signatures; 12 tree and tiles; 13 another history: a fork, a checkpoint that does not
fit; 14 events; 15 claims; 16 register, statistics and figures; 17 certificates, reference data; 18 could not
be read or checked.
"""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    sys.path.pop(0)  # what lies beside this file in an export must not be imported

import argparse
import gc
import hashlib
import json
import os
import re
import stat
import tempfile
from base64 import b32encode, b64decode
from binascii import a2b_base64
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificates

SCHEMA = "title-registry/export/2"
SHOWN, BATCH, LINE_LIMIT, FILE_LIMIT, PART_BYTES = 20, 8192, 1 << 22, 1 << 28, 6 << 20
FILES, KEYS, TREE, FORK, EVENT, CLAIM, REGISTER, CERTIFICATE, UNREAD = range(10, 19)
COULD_NOT = (PermissionError, UnsupportedAlgorithm, BrokenProcessPool, MemoryError)
DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, OSError)
REQUIRED = {"events.jsonl", "claims.jsonl", "register.jsonl", "statistics.json", "keys.json", "root.pem", "chain.pem"}
REQUIRED |= {"checkpoint", "checkpoints", "verify_export.py"}
_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_quote = json.encoder.encode_basestring
_scan = json.JSONDecoder(parse_constant=lambda text: need(0, f"{text} is no JSON")).raw_decode
Figures = Counter[tuple[Any, ...]]


class Findings:
    """What was found, by kind: all are counted, the first twenty of a kind are kept."""

    def __init__(self) -> None:
        self.totals, self.kept = Counter[int](), list[tuple[int, str, str]]()

    def add(self, kind: int, where: str, what: object) -> None:
        kind = UNREAD if isinstance(what, COULD_NOT) else kind
        self.totals[kind] += 1
        if self.totals[kind] <= SHOWN:
            exotic = isinstance(what, Exception) and type(what) is not ValueError
            self.kept.append((kind, where[:300], f"{type(what).__name__ + ': ' if exotic else ''}{what}"[:900]))

    def merge(self, other: "Findings") -> None:
        for kind, count in other.totals.items():
            self.kept += [one for one in other.kept if one[0] == kind][: max(0, SHOWN - self.totals[kind])]
            self.totals[kind] += count

    @contextmanager
    def guard(self, kind: int, where: str) -> Iterator[None]:
        """Damage of whatever sort becomes a finding."""
        try:
            yield
        except (*DAMAGE, *COULD_NOT, InvalidSignature) as error:
            self.add(kind, where, error)


def need(condition: object, what: str, *about: object) -> None:
    if not condition:
        raise ValueError(what % about if about else what)


def read(path: Path) -> bytes:
    """A plain file of bounded size; links, pipes and devices are refused."""
    status = os.lstat(path)
    need(stat.S_ISREG(status.st_mode) and status.st_size <= FILE_LIMIT, "it is no plain file of sensible size")
    return path.read_bytes()


def lines_of(path: Path) -> Iterator[bytes]:
    need(stat.S_ISREG(os.lstat(path).st_mode), "it is no plain file")
    with path.open("rb") as source:
        yield from iter(lambda: source.readline(LINE_LIMIT), b"")


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


# Keys, notes and checkpoints (RFC 7638; C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-policy)


class Key(NamedTuple):
    """A key that signs notes: kind 1 a log's Ed25519; 4 and 6 cosigners' Ed25519 and ML-DSA-44. Times in seconds."""

    name: str
    kind: int
    public: bytes
    label: str = ""
    since: int = 0
    until: int = 1 << 63

    @property
    def id(self) -> bytes:
        return sha256(self.name.encode(), b"\n", bytes([self.kind]), self.public)[:4]

    def verify(self, text: bytes, signature: bytes) -> int:
        """Raise InvalidSignature, or return the time in a cosignature (0 for a log's own signature)."""
        stamp, (origin, size, root, *_), name = signature[:8], text.split(b"\n"), self.name.encode()
        if self.kind == 6:
            signed = b"subtree/v1\n\0" + bytes([len(name)]) + name + stamp + bytes([len(origin)]) + origin + bytes(8)
            signed += int(size).to_bytes(8) + b64decode(root)
            mldsa.MLDSA44PublicKey.from_public_bytes(self.public).verify(signature[8:], signed)
        else:
            signed = text if self.kind == 1 else b"cosignature/v1\ntime %d\n" % int.from_bytes(stamp) + text
            signature = signature if self.kind == 1 else signature[8:]
            ed25519.Ed25519PublicKey.from_public_bytes(self.public).verify(signature, signed)
        return 0 if self.kind == 1 else int.from_bytes(stamp)


def parse_vkey(text: str, kinds: tuple[int, ...], label: str = "") -> Key:
    name, key_id, data = text.split("+", 2)
    raw = b64decode(data, validate=True)
    need(raw and raw[0] in kinds and len(raw) == (1313 if raw[0] == 6 else 33), f"{name}: no key for this use")
    need(name and sha256(name.encode(), b"\n", raw)[:4].hex() == key_id, f"{name}: the key id is not that of the key")
    return Key(name, raw[0], raw[1:], label)


def raw_key(jwk: dict[str, Any]) -> list[bytes]:
    """The parts of a public key. Its kid must be its own: the beginning of its thumbprint."""
    members = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "AKP": ("alg", "kty", "pub")}[jwk["kty"]]
    thumbprint = sha256(json.dumps({one: jwk[one] for one in members}, separators=(",", ":")).encode())
    need(b32encode(thumbprint[:5]).decode().lower() == jwk["kid"], f"the kid {jwk['kid']} is not that of its key")
    return [b64decode(jwk[one] + "==", altchars=b"-_") for one in members if one in ("x", "y", "pub")]


def read_ring(data: bytes, origin: str) -> tuple[list[Key], dict[str, Any]]:
    """keys.json: the keys that sign notes, and every key (JWK) by kid."""
    notes, ring = list[Key](), dict[str, Any]()
    for jwk in json.loads(data)["keys"]:
        kid, use, raw = jwk["kid"], (jwk["purpose"], jwk["kty"]), raw_key(jwk)
        need("d" not in jwk and type(jwk["nbf"]) is type(jwk["exp"]) is int, f"{kid} is private or has no times")
        need(type(jwk.get("compromised_from")) in (int, type(None)), f"{kid}: since when is it compromised?")
        if use == ("e-certificate/1", "EC"):
            certificate_key(jwk)
        elif use in (("checkpoint/1", "OKP"), ("cosignature/1", "AKP")):
            notes.append(Key(origin, 1 if jwk["kty"] == "OKP" else 6, raw[0], kid, jwk["nbf"], jwk["exp"]))
            need(len(raw[0]) == (32 if jwk["kty"] == "OKP" else 1312), f"the key {kid} has a wrong length")
        ring[kid] = jwk
    return notes, ring


def certificate_key(jwk: dict[str, Any]) -> ec.EllipticCurvePublicKey:
    x, y = map(int.from_bytes, raw_key(jwk))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def open_note(note: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    """The text of a signed note; name and (key id, signature) of each signature line."""
    text, blank, lines = note.rpartition(b"\n\n")
    found = [re.fullmatch(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})", line) for line in lines.decode().split("\n")]
    need(blank and found.pop() is None and found and lines.endswith(b"\n") and all(found), "it is no signed note")
    return text + b"\n", [(one[1], b64decode(one[2], validate=True)) for one in found if one]


class Note(NamedTuple):
    """A checkpoint whose signatures hold: who signed, who cosigned and when."""

    where: str
    size: int
    root: bytes
    signer: Key
    cosigned: list[tuple[Key, int]]


def open_checkpoints(keys: list[Key], notes: list[tuple[str, bytes]]) -> tuple[Findings, list[Note]]:
    """Check every signature on these notes that names one of these keys; one of the log's must be on each."""
    findings, opened = Findings(), list[Note]()
    for where, note in notes:
        with findings.guard(KEYS, where):
            text, lines = open_note(note)
            origin, size, root, *rest = text.decode().split("\n")
            digest, held = b64decode(root, validate=True), list[tuple[Key, int]]()
            need(rest == [""] and re.fullmatch("0|[1-9][0-9]{0,17}", size) and len(digest) == 32, "it is no checkpoint")
            for key in keys:
                for name, data in lines:
                    if (name, data[:4]) == (key.name, key.id):
                        with findings.guard(KEYS, f"{where}: signature of {name}, type {key.kind}, id {key.id.hex()}"):
                            held.append((key, key.verify(text, data[4:])))
            signers = [key for key, _ in held if key.kind == 1 and key.name == origin]
            need(signers, "no signature of the log's key holds on it")
            opened.append(Note(where, int(size), digest, signers[0], [one for one in held if one[0].kind != 1]))
    return findings, opened


def split_notes(where: str, path: Path) -> Iterator[tuple[str, bytes]]:
    """Notes that follow each other, each with an empty line after it (the last may do without)."""
    parts, number = list[bytes](), 1
    for line in lines_of(path):
        parts.append(line)
        if parts.count(b"\n") == 2:
            yield f"{where} {number}", b"".join(parts[:-1])
            parts, number = [], number + 1
    if parts:
        yield f"{where} {number}", b"".join(parts)


class Policy:
    """A C2SP tlog-policy. `groups` has for each name how many of which members are needed; a witness has no members."""

    def __init__(self, data: bytes) -> None:
        self.logs, self.witnesses, self.quorum, used = list[Key](), list[Key](), "", {"none"}
        self.groups: dict[str, tuple[int, list[str]]] = {"none": (0, [])}
        for line in data.decode().split("\n"):
            match line.split() if not line.strip().startswith("#") else []:
                case []:
                    pass
                case ["log", vkey] | ["log", vkey, _]:
                    self.logs.append(parse_vkey(vkey, (1,)))
                case ["witness", name, vkey] | ["witness", name, vkey, _] if name not in self.groups:
                    self.witnesses.append(parse_vkey(vkey, (4, 6), name))
                    self.groups[name] = 1, []
                case ["group", name, count, *members] if name not in self.groups and used.isdisjoint(members):
                    enough = {"all": len(members), "any": 1}.get(count) or int(count)
                    need(1 <= enough <= len({*members}) == len(members) and self.groups.keys() >= {*members}, line)
                    used.update(members)
                    self.groups[name] = enough, members
                case ["quorum", name] if not self.quorum and name in self.groups:
                    self.quorum = name
                case _:
                    raise ValueError(f"policy: {line!r}")
        publics = [key.public for key in (*self.logs, *self.witnesses)]
        need(self.quorum and len({*publics}) == len(publics), "policy: no quorum, or a key twice")

    def met(self, labels: set[str], name: str) -> bool:
        enough, members = self.groups[name]
        return sum(self.met(labels, one) for one in members) >= enough if members else name in labels or not enough


# The tree (RFC 6962 section 2.1; C2SP tlog-tiles)


def pairs(hashes: list[bytes]) -> list[bytes]:
    digest = hashlib.sha256
    return [digest(b"\1" + one + other).digest() for one, other in zip(hashes[::2], hashes[1::2], strict=False)]


def fold_root(peaks: Iterable[bytes]) -> bytes:
    """The root over complete subtrees, which are given from the right to the left."""
    root = b""
    for peak in peaks:
        root = sha256(b"\1", peak, root) if root else peak
    return root or sha256()


def tile_name(kind: str, number: int, wide: int) -> str:
    *high, low = (int(group) for group in f"{number:,}".split(","))
    return f"tile/{kind}/{''.join(f'x{one:03}/' for one in high)}{low:03}{f'.p/{wide}' if wide < 256 else ''}"


def compare_tiles(root: Path, kind: str, first: int, items: list[bytes], findings: Findings) -> None:
    for at in range(0, len(items), 256):
        name = tile_name(kind, (first + at) // 256, min(256, len(items) - at))
        with findings.guard(TREE, name):
            need(read(root / name) == b"".join(items[at : at + 256]), "its bytes do not follow from events.jsonl")


def cbor(major: int, number: int) -> bytes:
    """The head of a CBOR item in its shortest form (RFC 8949 section 3)."""
    power = ((number.bit_length() + 7) // 8 - 1).bit_length()
    return bytes([major | number]) if number < 24 else bytes([major | 24 + power]) + number.to_bytes(1 << power)


TEXT = [cbor(0x60, length) for length in range(256)]
LEAF, DIGEST = cbor(0x80, 7) + TEXT[6] + b"leaf/1", cbor(0x40, 32)
LINE = re.compile(
    rb'\{"position":([1-9][0-9]{0,17}),"stream":"([!#-\[\]-~]{1,255})","version":([1-9][0-9]{0,17}),'
    rb'"name":"([!#-\[\]-~]{1,255})","state":(\{"recorded_at":"([!#-\[\]-~]{1,255})",.*\})\}\n'
)


class Offices(NamedTuple):
    """Which officer held which role over which authority, after which position and up to which.

    Nobody needed one before the registry was founded. `over` has each authority with those above it.
    """

    founded: float
    held: dict[str, list[list[Any]]]
    over: dict[str, set[str]]

    def may(self, actor: str, roles: tuple[str, ...], authority: str, position: int) -> bool:
        for role, at, _, since, until in self.held.get(actor, ()):
            if (
                since < position <= until
                and role in roles
                and (not authority or at in self.over.get(authority, (authority,)))
            ):
                return True
        return position <= self.founded


def read_offices(changes: list[tuple[int, bytes, bytes, bytes]], authorities: bytes) -> Offices:
    """Roles as they were granted and withdrawn; what cannot be read is found where its stream is folded."""
    founded, held, over = float("inf"), defaultdict[str, list[list[Any]]](list), dict[str, set[str]]()
    above = {one["code"]: one["parent"] for one in json.loads(authorities)["authorities"]}
    for code in above:
        up, over[code] = code, set()
        while up and up not in over[code]:
            over[code].add(up)
            up = above.get(up)
    for position, stream, name, state in changes:
        try:
            fact, own = json.loads(state)["fact"], held[stream.decode().removeprefix("officer-")]
            if name == b"role-granted/1":
                own.append([fact["role"], fact["authority"], fact["grant"], position, float("inf")])
                founded = min(founded, position) if fact["proposed_by"] == "system" else founded
            for one in own if name == b"role-withdrawn/1" else ():
                one[4] = min(one[4], position) if one[2] == fact["grant"] else one[4]
        except DAMAGE:
            continue
    return Offices(founded, dict(held), over)


class Share(NamedTuple):
    """What every process must know: the export, where to lay lines by and in how many parts, the keys, the officers.

    `ahead` is the first leaf entry of a log that follows another: it commits to the last checkpoint of that one.
    """

    root: Path
    scratch: Path
    parts: int
    ring: dict[str, Any]
    ahead: tuple[bytes, ...] = ()
    offices: Offices = Offices(float("inf"), {}, {})


Taken = tuple[Findings, dict[int, tuple[bytes, str]], list[bytes], list[tuple[int, bytes, bytes, bytes]]]


def take_chunk(share: Share, offset: int, first: int, count: int, wanted: list[int]) -> Taken:
    """Hash the leaves of whole tiles of events, compare these tiles, lay the events by for the fold.

    Return the roots of this chunk's beginnings up to the sizes asked for, with recorded times; full tiles' roots; and
    the events that change a role.
    """
    findings, parts, digest = Findings(), defaultdict[int, list[bytes]](list), hashlib.sha256
    changes = list[tuple[int, bytes, bytes, bytes]]()
    entries = list(share.ahead if first == 0 else ())
    times = [b"" for _ in entries]
    with (share.root / "events.jsonl").open("rb") as source:
        source.seek(offset)
        lines = list(islice(source, count))
    for index, line in enumerate(lines, first + 1 + len(entries) - len(share.ahead)):
        match = LINE.fullmatch(line)
        position, stream, version, name, state, at = match.groups() if match else (b"0", b"", b"0", b"", b"", b"")
        if match is None or int(position) != index:
            wrong = "events are missing, repeated or moved" if match else "it is not in the one form of an event"
            findings.add(EVENT, f"events.jsonl line {index}", f"{wrong}: {line[:200].decode(errors='replace')}")
        place = LEAF + cbor(0, int(position)) + TEXT[len(stream)] + stream + cbor(0, int(version))
        entries.append(place + TEXT[len(name)] + name + TEXT[len(at)] + at + DIGEST + digest(state).digest())
        times.append(at)
        if name.startswith(b"role-") and stream.startswith(b"officer-"):
            changes.append((int(position), stream, name, state))
        parts[crc32(stream) % share.parts].append(b" ".join((position, stream, version, name, state)) + b"\n")
    spread(share.scratch, "events", parts)
    leaves = [digest(b"\0" + entry).digest() for entry in entries]
    compare_tiles(share.root, "entries", first, [len(entry).to_bytes(2) + entry for entry in entries], findings)
    compare_tiles(share.root, "0", first, leaves, findings)
    levels = [leaves]
    while len(levels[-1]) > 1:
        levels.append(pairs(levels[-1]))
    roots = dict[int, tuple[bytes, str]]()
    for own in {*(size - first for size in wanted), len(entries)}:
        peaks = (levels[bit][(own >> bit) - 1] for bit in range(own.bit_length()) if own >> bit & 1)
        roots[first + own] = fold_root(peaks), times[own - 1].decode()
    return findings, roots, levels[8] if len(levels) > 8 else [], changes


def spread(scratch: Path, kind: str, parts: dict[int, list[bytes]]) -> None:
    """Lay lines by, each in its part; every process writes files of its own."""
    for part, lines in parts.items():
        with (scratch / str(part) / f"{kind}-{os.getpid()}").open("ab") as out:
            out.write(b"".join(lines))


def gather(folder: Path, kind: str) -> Iterator[bytes]:
    for path in folder.glob(f"{kind}-*"):
        with path.open("rb") as source:
            yield from source


# Facts (docs/events.md): the fields of each; one with a "?" may be absent

FACTS = """
holder-registered/1 holder person
holder-renamed/1 holder name basis document_no effective_on
identity-linked/1 holder identity document_no
title-awarded/1 holder award employer? paper? application?
paper-matched/1 application paper
decision-proposed/1 holder proposal kind effective_on document_no authority reason digest corrected?
decision-refused/1 holder proposal reason
title-revoked/1 proposal proposed_by effective_on document_no authority
title-invalidated/1 proposal proposed_by effective_on document_no authority
title-suspended/1 proposal proposed_by effective_on document_no authority
title-reinstated/1 proposal proposed_by effective_on document_no authority
title-corrected/1 proposal proposed_by effective_on document_no authority award
certificate-prepared/1 holder version code kid content
certificate-signed/1 version kid signature
certificate-signed/2 version kid signature leaf digest
paper-submitted/1 holder award paper evidence digest employer?
paper-approved/1 title existing?
paper-refused/1 holder reason
reference-data-adopted/1 digest plans
officer-registered/1 holder staff
role-proposed/1 grant role authority document_no digest
role-granted/1 grant role authority proposed_by
role-refused/1 holder grant reason
role-withdrawn/1 grant document_no
erasure-proposed/1 holder proposal basis document_no authority digest
erasure-refused/1 holder proposal reason
holder-erased/1 proposal proposed_by basis document_no authority
legal-hold-placed/1 hold document_no authority
legal-hold-lifted/1 hold document_no
data-request-made/1 holder kind text
data-request-answered/1 holder outcome text
decision-returned/1 holder proposal reason
paper-returned/1 holder reason
key-set-published/1 version document approvals
"""
FIELDS = {
    name: ({one for one in fields if "?" not in one}, {one.rstrip("?") for one in fields})
    for name, *fields in map(str.split, FACTS.strip().split("\n"))
}
FIELDS["state"] = (
    {"recorded_at", "actor", "command_id", "fact"},
    {"recorded_at", "actor", "command_id", "fact", "cause"},
)
SEALED = {"person", "name", "identity", "employer", "reason", "content", "staff", "text"}
CLERK, APPROVER, OPERATOR, EITHER = ("clerk",), ("approver",), ("operator",), ("clerk", "approver")
LIFETIME = timedelta(hours=72)
SEALED_IN = {name: SEALED & known for name, (_, known) in FIELDS.items()}
DECISIONS = {  # kind of proposal: the fact that follows, and from which statuses it may
    "revocation": ("title-revoked/1", "valid suspended invalidated"),
    "invalidation": ("title-invalidated/1", "valid suspended"),
    "suspension": ("title-suspended/1", "valid"),
    "reinstatement": ("title-reinstated/1", "revoked invalidated suspended"),
    "correction": ("title-corrected/1", "valid suspended"),
}
STATUS = {"title-revoked/1": "revoked", "title-invalidated/1": "invalidated", "title-suspended/1": "suspended"}


def check(kind: str, value: dict[str, Any]) -> None:
    """Raise an error unless the fields are those of this kind; what is sealed must be base64, a version a number."""
    required, known = FIELDS[kind]
    need(required <= value.keys() <= known, "%s: a field is missing or unknown", kind)
    for field in SEALED_IN[kind]:
        if field in value:
            a2b_base64(value[field], strict_mode=True)
    for award in ("award", "corrected"):
        if award in value:
            need(all(type(one) is str for one in value[award].values()), "%s: an award of other than texts", kind)
    need(type(value.get("version", 1)) is int, "%s: the version is no number", kind)


class Event(NamedTuple):
    """An event of a stream; `fact` is the JSON as stored."""

    position: int
    version: int
    name: str
    at: datetime
    actor: str
    fact: dict[str, Any]


def read_event(position: int, version: bytes, name: bytes, state: bytes) -> Event:
    text, kind = state.decode(), name.decode()
    told, end = _scan(text)
    check("state", told)
    need("/" in kind, f"{kind} is no stored name")
    check(kind, told["fact"])
    need(end == len(text) and text.startswith(f'{{"recorded_at":"{told["recorded_at"]}"'), "it says something twice")
    at = datetime.fromisoformat(told["recorded_at"])
    need(at.tzinfo, "the recorded time has no zone")
    return Event(position, int(version), kind, at, told["actor"], told["fact"])


# Streams: the fold, the claims, the rows of the register


class Title:
    """One title. A fact that cannot follow raises ValueError; what else must hold is told to `part`."""

    def __init__(self, stream: str, events: list[Event], part: "Part") -> None:
        first, self.stream, self.part = events[0].fact, stream, part
        self.law: Callable[..., None] = partial(part.law, stream)
        need(events[0].name == "title-awarded/1", f"{events[0].name} cannot come first")
        self.holder, self.award, self.awarded = first["holder"], first["award"], first["award"]
        self.paper, self.application = "paper" in first, first.get("application")
        self.status, self.status_from = "valid", None
        self.numbers = {f"{self.award['authority']}|{self.award['number']}"}
        self.proposals, self.certificates = dict[str, Event](), list[tuple[Event, Event | None]]()
        part.right(stream, events[0], APPROVER if self.application else CLERK, self.award["authority"])
        for event in events[1:]:
            self.take(event, event.fact, event.name)

    def take(self, event: Event, fact: dict[str, Any], name: str) -> None:
        holder = fact.get("holder", self.holder)
        self.law(holder in (self.holder, self.stream), "%s is of another holder: %s", name, holder)
        if name == "paper-matched/1":
            self.paper, self.application = True, fact["application"]
        elif name == "decision-proposed/1":
            self.law((fact["kind"] == "correction") == ("corrected" in fact), "only a correction says what is right")
            self.part.right(self.stream, event, EITHER, fact["authority"])
            self.proposals[fact["proposal"]] = event
        elif name == "certificate-prepared/1":
            need(fact["version"] == len(self.certificates) + 1, "the version of a certificate does not follow")
            self.part.right(self.stream, event, EITHER, self.award["authority"])
            self.certificates.append((event, None))
        elif name.startswith("certificate-signed/"):
            need(0 < fact["version"] <= len(self.certificates), f"version {fact['version']} was signed, never prepared")
            prepared, before = self.certificates[fact["version"] - 1]
            need(before is None and prepared.fact["kid"] == fact["kid"], "it was signed twice, or by another key")
            self.certificates[fact["version"] - 1] = prepared, event
        else:
            need(fact.get("proposal") in self.proposals, f"{name}: it cannot follow, or nobody proposed it")
            proposal = self.proposals.pop(fact["proposal"])
            withdrawn = name == "decision-refused/1" and event.actor == proposal.actor
            self.part.right(self.stream, event, EITHER if withdrawn else APPROVER, proposal.fact["authority"])
            if name == "decision-returned/1":
                self.law(event.actor != proposal.actor, "one officer proposed and returned %s", fact["proposal"])
            elif name != "decision-refused/1":
                self.decide(event, fact, proposal)

    def decide(self, event: Event, fact: dict[str, Any], proposal: Event) -> None:
        """Another officer carried out exactly what was proposed, and the title stood so that it could follow."""
        name, standing = DECISIONS[proposal.fact["kind"]]
        same = event.name == name and fact.get("award") == proposal.fact.get("corrected")
        place = self.part.second(self.stream, event, proposal, same, "effective_on document_no authority")
        self.law(self.status in standing.split(), f"{place} cannot follow on a title that is {self.status}")
        if "award" in fact:
            self.award = fact["award"]
            self.numbers.add(f"{self.award['authority']}|{self.award['number']}")
        else:
            self.status, self.status_from = STATUS.get(event.name, "valid"), fact["effective_on"]

    def claims(self) -> set[tuple[str, str]]:
        """Every number it had, every code, its slot while it stands, its origin once it has left the first slot."""
        fields = ("series", "specialty", "title_name")
        first, slot = ("|".join((self.holder, *(award[one] for one in fields))) for award in (self.awarded, self.award))
        stands = self.status not in ("revoked", "invalidated")
        held = {("number", number) for number in self.numbers} | ({("title", slot)} if stands else set())
        held |= {("code", prepared.fact["code"][:16]) for prepared, _ in self.certificates}
        origin = ("origin", f"{first}|{self.awarded['awarded_on']}|{self.awarded['approval_document']}")
        return held if stands and slot == first else held | {origin}


class Part:
    """What one part of all streams gives: claims and rows to compare, links to other streams, figures, findings."""

    def __init__(self, share: Share) -> None:
        self.findings, self.figures, self.ring, self.ahead = Findings(), Figures(), share.ring, len(share.ahead)
        self.keys = {kid: certificate_key(one) for kid, one in self.ring.items() if one["purpose"] == "e-certificate/1"}
        self.offices = share.offices
        self.claims, self.rows, self.links = list[bytes](), list[bytes](), list[tuple[str, str]]()

    def law(self, stream: str, holds: object, what: str, *about: object) -> None:
        """What must hold; the fold goes on if it does not."""
        if not holds:
            self.findings.add(EVENT, stream, what % about)

    def right(self, stream: str, event: Event, roles: tuple[str, ...], authority: str = "") -> None:
        """Whoever recorded it held one of these roles then: over this authority, one above it, or (none named) any."""
        if not self.offices.may(event.actor, roles, authority, event.position):
            said = f"{event.name} at position {event.position}: {event.actor} was no {' or '.join(roles)} then"
            self.findings.add(EVENT, stream, f"{said} over {authority or 'anything'}")

    def second(self, stream: str, event: Event, proposal: Event, same: bool, fields: str, *others: str) -> str:
        """Another officer carried out exactly what was proposed, in time. Return the place."""
        fact, place = event.fact, f"the decision at position {event.position} ({event.name})"
        same = same and all(fact[field] == proposal.fact[field] for field in fields.split())
        self.law(stream, same and fact["proposed_by"] == proposal.actor, f"{place} is not what was proposed")
        self.law(stream, event.actor not in (proposal.actor, *others), f"{place}: one officer proposed and approved")
        self.law(stream, event.at - proposal.at <= LIFETIME, f"{place}: the proposal had lapsed")
        self.figures["decisions",] += 1
        return place

    def digest(self, stream: str, fact: dict[str, Any], fields: str, **more: str) -> None:
        told = {field: (fact | more)[field] for field in sorted(fields.split())}
        same = sha256(_dump(told).encode()).hex() == fact["digest"]
        self.law(stream, same, "the digest is not that of the application, or of what was proposed")

    def take(self, stream: str, events: list[Event]) -> None:
        """Fold one stream; raise ValueError where a fact cannot follow."""
        for number, event in enumerate(events, 1):
            need(event.version == number, "version %d stands where %d is due", event.version, number)
        kind = stream.partition("-")[0]
        need(kind in KINDS, "it is of no known kind")
        claims: Callable[..., set[tuple[str, str]]] = getattr(self, kind)
        for scope, key in claims(stream, events):
            self.claims.append(f'{{"scope":"{scope}","key":{_quote(key)},"stream":"{stream}"}}\n'.encode())
        self.figures["count", "streams"] += 1

    def row(self, table: str, **row: Any) -> None:
        self.rows.append(_dump({"table": table, "row": row}).encode() + b"\n")
        self.figures["count", table] += 1

    def link(self, stream: str, *targets: str | None) -> None:
        for target in filter(None, targets):
            need(re.fullmatch("[!-~]+", target), "%r is no stream", target)
            self.links.append((target, stream))

    def holder(self, stream: str, events: list[Event]) -> set[tuple[str, str]]:
        need(events[0].name == "holder-registered/1", f"{events[0].name} cannot come first")
        self.law(stream, events[0].fact["holder"] == stream, "it is of another: %s", events[0].fact["holder"])
        waiting, holds, erased = dict[str, Event](), dict[str, str](), False
        for event in events[1:]:
            fact, name, proposal = event.fact, event.name, event.fact.get("proposal", "")
            self.law(stream, fact.get("holder", stream) == stream, "%s is of another: %s", name, fact.get("holder"))
            self.law(stream, not erased, "%s follows after the person was erased", name)
            if name in ("holder-renamed/1", "identity-linked/1", "erasure-proposed/1", "erasure-refused/1"):
                self.right(stream, event, EITHER, fact.get("authority", ""))
            if name == "erasure-proposed/1":
                self.digest(stream, fact, "holder basis document_no authority")
                waiting[proposal] = event
            elif name in ("erasure-refused/1", "holder-erased/1"):
                need(proposal in waiting, f"{name}: nobody proposed it")
                asked = waiting.pop(proposal)
                if name == "holder-erased/1":
                    erased = True
                    self.law(stream, not holds, "the person was erased under a legal hold")
                    self.right(stream, event, APPROVER, fact["authority"])
                    self.second(stream, event, asked, True, "basis document_no authority")
            elif name.startswith("legal-hold-"):
                self.law(stream, ("authority" in fact) != (fact["hold"] in holds), "%s: no such hold, or twice", name)
                authority = fact.get("authority") or holds.pop(fact["hold"], "")
                self.right(stream, event, APPROVER, authority)
                holds |= {fact["hold"]: authority} if "authority" in fact else {}
            else:
                need(name in ("holder-renamed/1", "identity-linked/1"), f"{name} cannot follow")
        return set()

    def officer(self, stream: str, events: list[Event]) -> set[tuple[str, str]]:
        """Roles are given by two officers, never by the one concerned; two founders are given theirs by nobody."""
        own, founding = stream.removeprefix("officer-"), set[tuple[str, str]]()
        waiting, grants = dict[str, Event](), dict[str, str]()
        for event in events:
            fact, name, grant = event.fact, event.name, event.fact.get("grant", "")
            need((name == "officer-registered/1") == (event.version == 1), f"{name} cannot follow")
            need(name == "officer-registered/1" or name.startswith("role-"), f"{name} cannot follow")
            self.law(stream, fact.get("holder", stream) == stream, "%s is of another: %s", name, fact.get("holder"))
            if "system" in (fact.get("proposed_by"), event.actor) or grant.startswith("founding."):
                given = event.actor == fact.get("proposed_by") == "system" and fact["role"] == "approver"
                given = given and grant in ("founding.1", "founding.2") and not founding
                self.law(
                    stream, given or event.version == 1, "%s: a role outside the founding, by no two officers", name
                )
                founding |= {("founding", grant)} if event.version > 1 else set()
                grants[grant] = fact.get("authority", "")
                continue
            self.right(stream, event, APPROVER, fact.get("authority") or grants.get(grant, ""))
            if name == "role-proposed/1":
                self.digest(stream, fact, "officer role authority document_no", officer=stream)
                self.law(stream, event.actor != own, "%s: by the officer concerned", name)
                waiting[grant] = event
            elif name in ("role-granted/1", "role-refused/1"):
                need(grant in waiting, f"{name}: nobody proposed it")
                proposal = waiting.pop(grant)
                if name == "role-granted/1":
                    self.second(stream, event, proposal, True, "role authority", own)
                    grants[grant] = fact["authority"]
            elif name == "role-withdrawn/1":
                self.law(stream, grants.pop(grant, None), "%s: the role %s is not in force", name, grant)
        return founding

    def request(self, stream: str, events: list[Event]) -> set[tuple[str, str]]:
        names, holder = [event.name for event in events], events[0].fact["holder"]
        need(names in (["data-request-made/1"], ["data-request-made/1", "data-request-answered/1"]), "it cannot follow")
        for event in events:
            self.law(stream, event.fact["holder"] == holder, "%s is of another: %s", event.name, event.fact["holder"])
            if event.actor != holder or event.version > 1:
                self.right(stream, event, EITHER)
        self.link(stream, holder)
        return set()

    def keyset(self, stream: str, events: list[Event]) -> set[tuple[str, str]]:
        """Each key set follows from the one before, and both have their approvals; keys.json is what the last says."""
        need(stream == "keyset-published" and {one.name for one in events} == {"key-set-published/1"}, "it cannot be")
        text, told = "", dict[str, Any](approvers=[], threshold=0, keys=[])
        for event in events:
            with self.findings.guard(KEYS, f"{stream} version {event.version}"):
                before, told, digest = told, json.loads(event.fact["document"]), sha256(text.encode()).hex()
                text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
                need(text == event.fact["document"], "the document is not written in its one form")
                need(told["version"] == event.fact["version"] == event.version, "its version does not follow")
                need(told["previous"] == (digest if event.version > 1 else None), "it follows another document")
                need(
                    len({one["x"] for one in told["approvers"]}) == len(told["approvers"]), "an approver is there twice"
                )
                keys = {one["kid"]: public_part(one) for one in told["keys"]}
                lost = [one["kid"] for one in before["keys"] if keys.get(one["kid"]) != public_part(one)]
                need(not lost, f"keys were taken away or altered: {lost}")
                for asked in (before, told):
                    count = sum(approves(one, event.fact["approvals"], text) for one in asked["approvers"])
                    need(count >= asked["threshold"], f"{count} approvals hold, {asked['threshold']} are needed")
                need(told["threshold"] > 0, "it asks for no approval")
            if (event.actor, event.version) != ("system", 1):
                self.right(stream, event, OPERATOR)
        for one in told["keys"]:
            with self.findings.guard(KEYS, f"keys.json, {one['kid']}"):
                own, lost = self.ring[one["kid"]], one["compromised_from"]
                need(public_part(own) == public_part(one), "it is another key than in the key set in force")
                need(lost is None or (own.get("compromised_from") or 0) <= lost, "it is compromised from before")
                need(lost is None or own["state"] == "compromised", "the key set in force says that it is compromised")
        return set()

    def reference(self, _: str, events: list[Event]) -> set[tuple[str, str]]:
        need(all(event.name == "reference-data-adopted/1" for event in events), "a fact that cannot follow")
        self.figures["adopted", events[-1].position, events[-1].fact["digest"]] += 1
        return set()

    def paper(self, stream: str, events: list[Event]) -> set[tuple[str, str]]:
        first, state, holder = events[0], "", events[0].fact.get("holder")
        for event in events:
            name, before, title = event.name, state, event.fact.get("title")
            state = name.removeprefix("paper-").removesuffix("/1")
            need(
                (before, state) in PAPER_STEPS, f"{name}: more facts than an application can have, or it cannot follow"
            )
            self.law(stream, event.fact.get("holder") in (None, holder), "%s is of another holder", name)
            first = event if state == "submitted" else first
            if state == "submitted":
                self.digest(stream, event.fact, "holder award paper evidence")
            elif state != "refused":
                self.law(stream, event.actor != first.actor, "one officer submitted and approved or returned")
            if state != "submitted" or event.actor != holder:
                roles = CLERK if state == "submitted" else APPROVER
                self.right(stream, event, roles, first.fact["award"]["authority"])
        fact, award, state = first.fact, first.fact["award"], "open" if state == "submitted" else state
        self.link(stream, fact["holder"], title)
        about = {"holder": fact["holder"]} | {field: award[field] for field in ("authority", "number", "title_name")}
        about |= {"state": state, "submitted_by": first.actor, "submitted_at": first.at.isoformat()}
        self.row("papers", application=stream, **about, digest=fact["digest"], title=title)
        self.figures["papers", state] += 1
        self.figures["decisions",] += state == "approved"
        return {("paper", f"{fact['holder']}|{award['authority']}|{award['number']}")} if state != "refused" else set()

    def title(self, stream: str, events: list[Event]) -> set[tuple[str, str]]:
        title = Title(stream, events, self)
        award, newest = title.award, next((one for one, signed in reversed(title.certificates) if signed), None)
        for one in title.certificates:
            with self.findings.guard(CERTIFICATE, f"{stream} version {one[0].fact['version']}"):
                self.certificate(*one)
        self.link(stream, title.holder, title.application)
        said = "number authority series specialty level title_name obtained committee approval_document awarded_on"
        about = {"title": stream, "holder": title.holder} | {field: award[field] for field in said.split()}
        about |= {"year": int(award["awarded_on"][:4]), "status": title.status, "status_from": title.status_from}
        about |= {"from_paper": title.paper, "certificate": newest.fact["code"] if newest else None}
        about |= {"version": newest.fact["version"] if newest else 0}  # issued on: the day in Beijing
        about |= {"issued_on": (newest.at + timedelta(hours=8)).date().isoformat() if newest else None}
        self.row("titles", **about, open_proposals=len(title.proposals))
        for proposal, event in title.proposals.items():
            own = {field: event.fact[field] for field in ("kind", "effective_on", "document_no")}
            own |= {"proposed_by": event.actor, "proposed_at": event.at.isoformat(), "digest": event.fact["digest"]}
            self.row("proposals", proposal=proposal, title=stream, **own)
        self.figures["certified",] += newest is not None
        self.figures["by_authority", award["authority"], award["level"], title.status] += 1
        self.figures["by_series", award["series"], award["level"]] += 1
        self.figures["by_year", about["year"], award["obtained"]] += 1
        return title.claims()

    def certificate(self, prepared: Event, signed: Event | None) -> None:
        """The key of that time, the code, the place in the log, and the signature over the digest (RFC 9053)."""
        kid, code, alphabet = prepared.fact["kid"], prepared.fact["code"], "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
        need(kid in self.keys, f"its key {kid} is not among the certificate keys")
        key, leaf = self.ring[kid], prepared.position - 1 + self.ahead
        need(key["nbf"] <= prepared.at.timestamp() < key["exp"], f"its key {kid} was not valid when it was prepared")
        number = int(code[:16].translate(str.maketrans(alphabet, "0123456789abcdefghijklmnopqrstuv")), 32)
        need(
            {*code} <= {*alphabet} and len(code) == 17 and f"{alphabet}*~$=U"[number % 37] == code[16],
            "its code is none",
        )
        if signed and signed.name.endswith("/2"):
            own, leaf = leaf, signed.fact["leaf"]
            need(
                own - self.ahead <= leaf <= own, "it names another leaf than that of its preparation"
            )  # or in the log before
            raw, digest = b64decode(signed.fact["signature"]), b64decode(signed.fact["digest"])
            need(len(raw) == 64, "its signature has not 64 bytes")
            signature = utils.encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
            self.keys[kid].verify(signature, digest, ec.ECDSA(utils.Prehashed(SHA256())))
        state = ("checked" if signed.name.endswith("/2") else "sealed") if signed else "unsigned"
        if signed and key.get("state") == "compromised" and leaf >= (key.get("compromised_from") or 0):
            state = "void"
        self.figures["certificates", state] += 1


KINDS = {"holder", "title", "paper", "officer", "request", "keyset", "reference"}
PAPER_STEPS = {("", "submitted"), ("returned", "submitted"), ("returned", "refused")}
PAPER_STEPS |= {("submitted", state) for state in ("approved", "refused", "returned")}


def public_part(jwk: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in jwk.items() if name not in ("state", "compromised_from")}


def approves(approver: dict[str, Any], approvals: list[dict[str, str]], text: str) -> bool:
    """Whether this approver's signature is among them; one that does not hold raises InvalidSignature."""
    (raw,), own = raw_key(approver), [one["signature"] for one in approvals if one["kid"] == approver["kid"]]
    for signature in own:
        signed = b"title-registry/signed/1\0key-set/1\0" + text.encode()
        ed25519.Ed25519PublicKey.from_public_bytes(raw).verify(b64decode(signature), signed)
    return bool(own)


def take_part(share: Share, number: int) -> tuple[Findings, Figures]:
    """Fold the streams of one part; compare their claims and rows with those in the export."""
    part, folder, streams = Part(share), share.scratch / str(number), defaultdict[bytes, list[Any]](list)
    for line in gather(folder, "events"):
        position, stream, *rest = line[:-1].split(b" ", 4)
        streams[stream].append((int(position), *rest))
    for stream, events in streams.items():
        with part.findings.guard(EVENT, f"{stream.decode()} (from position {events[0][0]})"):
            part.take(stream.decode(), [read_event(*one) for one in sorted(events)])
    for kind, name, rebuilt in ((CLAIM, "claims.jsonl", part.claims), (REGISTER, "register.jsonl", part.rows)):
        expected, found = sorted(rebuilt), sorted(gather(folder, name))
        if expected != found:
            for line in (Counter(found) - Counter(expected)).elements():
                part.findings.add(kind, name, f"the facts do not give this line: {line.decode(errors='replace')}")
            for line in (Counter(expected) - Counter(found)).elements():
                part.findings.add(kind, name, f"this line follows from the facts and is missing: {line.decode()}")
    links = defaultdict[int, list[bytes]](list)
    for target, source in part.links:
        links[crc32(target.encode()) % share.parts].append(f"{target} {source}\n".encode())
    spread(share.scratch, "links", links)
    (folder / "streams").write_bytes(b"\n".join(streams))
    part.figures["count", "claims"] += len(part.claims)
    return part.findings, part.figures


def check_links(share: Share, number: int) -> tuple[Findings, Figures]:
    """Every stream that a state names exists; the different holders of titles are counted."""
    findings, holders, folder = Findings(), set[bytes](), share.scratch / str(number)
    known = {*(folder / "streams").read_bytes().split(b"\n")}
    for target, _, source in (line[:-1].rpartition(b" ") for line in gather(folder, "links")):
        if source.startswith(b"title-") and target.startswith(b"holder-"):
            holders.add(target)
        if target not in known:
            findings.add(EVENT, source.decode(), f"it names a stream that does not exist: {target.decode()}")
    return findings, Figures({("holders",): len(holders)})


CLAIM_LINE = re.compile(
    rb'\{"scope":"(?P<scope>[a-z]+)","key":(?P<quoted>"(?P<key>(?:[^"\\]|\\.)*)"),"stream":"(?P<stream>[^"\\]+)"\}\n'
)
ROW_LINE = re.compile(
    rb'\{"table":"(?:papers","row":\{"application|titles","row":\{"title|proposals","row":\{"proposal":"[^"\\]+","title)'
    rb'":"(?P<stream>[^"\\]+)",.*\}\}\n'
)


def lay_by(share: Share, name: str, kind: int) -> Findings:
    """Lay the lines of claims.jsonl or register.jsonl by with their streams; no claim is there twice."""
    findings, last, numbered = Findings(), (b"", b""), enumerate(lines_of(share.root / name), 1)
    while batch := list(islice(numbered, BATCH)):
        parts = defaultdict[int, list[bytes]](list)
        for number, line in batch:
            match = (CLAIM_LINE if kind == CLAIM else ROW_LINE).fullmatch(line)
            if match is None:
                findings.add(kind, f"{name} line {number}", "it is not in the one form of such lines")
                continue
            parts[crc32(match["stream"]) % share.parts].append(line)
            if kind == CLAIM:
                key = match["scope"], match["key"] if b"\\" not in line else json.loads(match["quoted"]).encode()
                if key <= last:
                    findings.add(kind, f"{name} line {number}", "the claim is there twice, or out of order")
                last = key
        spread(share.scratch, name, parts)
    return findings


def check_files(root: Path, listed: list[tuple[str, Any]]) -> Findings:
    findings = Findings()
    for name, entry in listed:
        with findings.guard(FILES, name):
            need(stat.S_ISREG(os.lstat(root / name).st_mode), "it is no plain file")
            with (root / name).open("rb") as source:
                size, digest = os.fstat(source.fileno()).st_size, hashlib.file_digest(source, "sha256").hexdigest()
            need({"size": size, "sha256": digest} == entry, f"it was changed: {size} bytes with SHA-256 {digest}")
    return findings


# The audit, step by step


class Audit:
    """One run over one export: what was found is in `findings`, what there was in `told`."""

    def __init__(self, root: Path, scratch: Path, pool: Executor) -> None:
        self.root, self.pool, self.findings, self.figures = root, pool, Findings(), Figures()
        self.share, self.keys, self.manifest = Share(root, scratch, 1, {}), list[Key](), dict[str, Any](files={})
        empty = dict.fromkeys(("events", "leaves", "tiles", "files", "checkpoints", "cosignatures", "decisions"), 0)
        nothing = {name: Counter[str]() for name in ("counts", "certificates")}
        self.told: dict[str, Any] = {"log_key": "", "root": "", "last": "", **empty, **nothing}

    def run(self, kept: list[tuple[str, bytes]], trusted: Key | None, own: Policy | None) -> None:
        waiting = self.files()
        with self.findings.guard(UNREAD, "the export"):
            self.signatures(trusted, own)
            notes = self.notes(kept)
            self.divide()
            names = (("claims.jsonl", CLAIM), ("register.jsonl", REGISTER))
            waiting += [self.pool.submit(lay_by, self.share, *one) for one in names]
            self.history(notes, self.tree(sorted({note.size for note in notes})), own)
        self.merge(waiting)
        for work in (take_part, check_links):
            self.merge([self.pool.submit(work, self.share, part) for part in range(self.share.parts)])
        with self.findings.guard(UNREAD, "the export"):
            self.derived()

    def merge(self, waiting: list[Any]) -> None:
        for one in waiting:
            with self.findings.guard(UNREAD, "a process"):
                result = one.result()
                findings, figures = result if isinstance(result, tuple) else (result, {})
                self.findings.merge(findings)
                self.figures.update(figures)

    def files(self) -> list["Future[Findings]"]:
        """(1) Nothing lies there but what the manifest lists, and that has the size and SHA-256 that it lists."""
        present, add = set[str](), self.findings.add
        for folder, folders, names in os.walk(self.root, onerror=lambda error: add(UNREAD, "a folder", error)):
            for path in (Path(folder, name) for name in (*folders, *names)):
                mode, name = os.lstat(path).st_mode, path.relative_to(self.root).as_posix()
                if stat.S_ISREG(mode):
                    present.add(name)
                elif not stat.S_ISDIR(mode) or not os.listdir(path):
                    add(FILES, name, "it is neither a plain file nor a folder with files")
        with self.findings.guard(FILES, "manifest.json"):
            manifest = json.loads(read(self.root / "manifest.json"))
            need(
                manifest["schema"] == SCHEMA, f"its schema is {manifest['schema']!r}; this program knows {SCHEMA} only"
            )
            need(type(manifest["files"]) is dict, "it lists no files")
            self.manifest = manifest
        listed = self.manifest["files"]
        self.told["files"] = len(listed)
        for name in sorted(REQUIRED - listed.keys()):
            add(FILES, "manifest.json", f"it does not list {name}")
        for name in sorted(present - listed.keys() - {"manifest.json", "manifest.note"}):
            add(FILES, name, "it is not listed in the manifest")
        entries = iter(sorted(listed.items()))
        return [self.pool.submit(check_files, self.root, one) for one in iter(lambda: list(islice(entries, 500)), [])]

    def signatures(self, trusted: Key | None, own: Policy | None) -> None:
        """(2) The keys; the manifest's signature, on a note that is no checkpoint; the certificates of documents."""
        guard, key, policies = self.findings.guard, trusted, [own] if own else []
        with guard(KEYS, "manifest.json"):
            key = parse_vkey(self.manifest["checkpoint_key"], (1,))
            self.told["log_key"] = self.manifest["checkpoint_key"]
            need(not trusted or trusted == key, "it is signed with another key than the one that you trust")
            need(not own or not own.logs or key in own.logs, "its log is none of those in your policy")
        key = trusted or key or Key("", 1, b"")
        with guard(KEYS, "keys.json"):
            self.keys, ring = read_ring(read(self.root / "keys.json"), key.name)
            self.share = self.share._replace(ring=ring)
            need(key[:3] in [one[:3] for one in self.keys], "the log's key is not in it")
        with guard(KEYS, "manifest.note"):
            text, lines = open_note(read(self.root / "manifest.note"))
            digest = sha256(read(self.root / "manifest.json")).hex()
            need(text == f"{SCHEMA}\nsha256:{digest}\n".encode(), "it signs another manifest")
            signer = key._replace(name=f"{key.name}/export")
            found = [data[4:] for name, data in lines if (name, data[:4]) == (signer.name, signer.id)]
            need(found, "it is not signed by the log's key")
            signer.verify(text, found[0])
        with guard(KEYS, "policy"):
            policies += [Policy(read(self.root / "policy"))] if "policy" in self.manifest["files"] else []
        self.keys += {one[:3]: one for policy in reversed(policies) for one in policy.witnesses}.values()
        with guard(CERTIFICATE, "chain.pem"):
            (root,) = load_pem_x509_certificates(read(self.root / "root.pem"))
            for one in (root, *load_pem_x509_certificates(read(self.root / "chain.pem"))):
                one.verify_directly_issued_by(root)

    def notes(self, kept: list[tuple[str, bytes]]) -> list[Note]:
        """(3) Every signature and cosignature on every checkpoint. The newest one comes last."""
        waiting, opened = list["Future[tuple[Findings, list[Note]]]"](), list[Note]()
        for name in ("checkpoints", "checkpoint"):
            with self.findings.guard(FORK, name):
                notes = split_notes(name, self.root / name)
                while batch := list(islice(notes, 100)):
                    waiting.append(self.pool.submit(open_checkpoints, self.keys, batch))
        for one in [self.pool.submit(open_checkpoints, self.keys, kept), *waiting]:
            with self.findings.guard(UNREAD, "a process"):
                self.findings.merge(one.result()[0])
                opened += one.result()[1]
        return opened

    def divide(self) -> None:
        """Divide the streams into parts that fit into memory."""
        with self.findings.guard(EVENT, "events.jsonl"):
            parts = min(1024, 1 + (self.root / "events.jsonl").stat().st_size // PART_BYTES)
            self.share = self.share._replace(parts=parts)
        if "predecessor" in self.manifest["files"]:
            with self.findings.guard(TREE, "predecessor"):
                self.share = self.share._replace(ahead=(read(self.root / "predecessor"),))
        for part in range(self.share.parts):
            (self.share.scratch / str(part)).mkdir()

    def tree(self, sizes: list[int]) -> dict[int, tuple[bytes, str]]:
        """(4) The tree over all events, and its tiles. Return root and last recorded time at each size asked."""
        waiting, offset, first = list["Future[Any]"](), 0, 0
        with self.findings.guard(EVENT, "events.jsonl"):
            lines, ahead = lines_of(self.root / "events.jsonl"), len(self.share.ahead)
            while lengths := [len(line) for line in islice(lines, BATCH - (0 if first else ahead))]:
                need(max(lengths) < LINE_LIMIT, f"a line after the first {first} is too long to be an event")
                end = first + len(lengths) + (0 if first else ahead)
                wanted = sizes[bisect_right(sizes, first) : bisect_right(sizes, end)]
                waiting.append(self.pool.submit(take_chunk, self.share, offset, first, len(lengths), wanted))
                offset, first = offset + sum(lengths), end
        roots, edge, tiles, level = {0: (fold_root([]), "")}, list[bytes](), list[bytes](), 1
        changes = list[tuple[int, bytes, bytes, bytes]]()
        for number, one in enumerate(waiting):
            findings, own, full, roles = one.result()
            self.findings.merge(findings)
            tiles += full
            changes += roles
            roots |= {size: (fold_root([start, *reversed(edge)]), at) for size, (start, at) in own.items()}
            edge.append(own[max(own)][0])
            while number & 1:
                edge[-2:], number = pairs(edge[-2:]), number >> 1
        while tiles:
            compare_tiles(self.root, str(level), 0, tiles, self.findings)
            for _ in range(8):
                tiles = pairs(tiles)
            level += 1
        kinds = (("entries", first), *((str(level), first >> 8 * level) for level in range(8)))
        tiles_ = {tile_name(kind, n, min(256, c - 256 * n)) for kind, c in kinds for n in range(-(-c // 256))}
        for name in sorted({name for name in self.manifest["files"] if name.startswith("tile/")} - tiles_):
            self.findings.add(TREE, name, f"a log of this size ({first}) has no such tile")
        self.told |= {"events": max(0, first - len(self.share.ahead)), "leaves": first, "tiles": len(tiles_)}
        self.told |= {"root": roots[first][0].hex(), "last": roots[first][1]}
        with self.findings.guard(CERTIFICATE, "reference/authorities.json"):
            offices = read_offices(changes, read(self.root / "reference" / "authorities.json"))
            self.share = self.share._replace(offices=offices)
        return roots

    def history(self, notes: list[Note], roots: dict[int, tuple[bytes, str]], own: Policy | None) -> None:
        """(5) Every checkpoint is one of this very history; none disagrees with another; the newest covers it all."""
        add, seen, before, newest = self.findings.add, dict[int, Note](), 0, None
        for note in notes:
            root, at = roots.get(note.size, (b"", ""))
            other, says = seen.setdefault(note.size, note), f"at size {note.size} it has the root {note.root.hex()}"
            if other.root != note.root:
                add(FORK, note.where, f"FORK: {says}, {other.where} has {other.root.hex()}; the log has signed both")
            if note.size > self.told["leaves"]:
                add(FORK, note.where, f"{says}, this export ends at {self.told['leaves']}: it was cut off, or is older")
            elif note.root != root:
                add(
                    FORK,
                    note.where,
                    f"{says}, the events here {root.hex()}: another history than the one that was signed",
                )
            if note.where.startswith("checkpoint"):
                self.told["checkpoints"] += 1
                self.told["cosignatures"] += len(note.cosigned)
                newest = note if note.where == "checkpoint 1" else newest
                if note.size < before or (note.size == before and note is not newest):
                    add(FORK, note.where, f"after a checkpoint of size {before} comes one of {note.size}")
                before = note.size
            with self.findings.guard(KEYS, note.where):
                signer, own_times = note.signer, [time for key, time in note.cosigned if key.name == note.signer.name]
                need(
                    all(signer.since <= time < signer.until for time in own_times), f"{signer.label} was not valid then"
                )
                last = datetime.fromisoformat(at).timestamp() if at else 0
                need(last < signer.until, f"the key {signer.label} had expired when the last event was recorded")
        if (
            newest is None
            or newest.size != self.told["leaves"]
            or not any(note.where.startswith("checkpoints") and note.size == newest.size for note in notes[-2:])
        ):
            add(TREE, "checkpoint", f"the newest checkpoints do not cover all {self.told['leaves']} leaves")
        self.told["witnesses"] = (
            sorted({k.label for k, _ in newest.cosigned if k.kind != 1 and k.until == 1 << 63}) if newest else []
        )
        if own and not own.met({*self.told["witnesses"]}, own.quorum):
            add(KEYS, "checkpoint", f"your policy asks for {own.quorum}; cosigned have {self.told['witnesses']}")

    def derived(self) -> None:
        """(6) Statistics, the figures in the manifest, and the reference data that was adopted last."""
        figures, root = self.figures, self.root
        counts = {name: figures["count", name] for name in ("titles", "proposals", "papers", "streams", "claims")}
        expected: dict[str, Any] = {"titles": counts["titles"], "holders": figures["holders",]}
        expected["certified"] = figures["certified",]
        expected |= {"papers": {key[1]: count for key, count in figures.items() if key[0] == "papers"}}
        for name in ("by_authority", "by_series", "by_year"):
            expected[name] = sorted([*key[1:], count] for key, count in figures.items() if key[0] == name)
        adopted = max((key[1:] for key in figures if key[0] == "adopted"), default=(0, ""))[1]
        said: dict[str, Any] = {"head": self.told["events"], "counts": counts | {"events": self.told["events"]}}
        said |= {"created_at": self.told["last"] or None, "reference_digest": adopted}
        with self.findings.guard(REGISTER, "statistics.json"):
            self.same(REGISTER, "statistics.json", json.loads(read(root / "statistics.json")), expected)
        if self.manifest.get("schema"):
            self.same(REGISTER, "manifest.json", {name: self.manifest.get(name) for name in said}, said)
        with self.findings.guard(CERTIFICATE, "reference"):
            names = sorted(path.name for path in (root / "reference").iterdir())
            listing = "".join(f"{sha256(read(root / 'reference' / name)).hex()}  {name}\n" for name in names)
            found = sha256(listing.encode()).hex()
            need(found == adopted, f"the reference data has the digest {found}, adopted was {adopted}")
        self.told |= {"counts": counts, "decisions": figures["decisions",]}
        self.told["certificates"] = {
            one: figures["certificates", one] for one in ("checked", "sealed", "unsigned", "void")
        }

    def same(self, kind: int, where: str, found: dict[str, Any], expected: dict[str, Any]) -> None:
        for name in sorted({*found, *expected}):
            told, wanted = (json.dumps(one.get(name), sort_keys=True) for one in (found, expected))
            if told != wanted:
                self.findings.add(kind, where, f"{name}: it says {told}, the events give {wanted}")


# The report

STEPS = {
    FILES: "Files: {files} files are as the signed manifest lists them; nothing else lies there.",
    KEYS: "Signatures: the manifest, {checkpoints} published checkpoints and {cosignatures} cosignatures hold.",
    TREE: "Tree: {events} events give the signed root; {tiles} tiles and entry bundles follow from them, byte by byte.",
    FORK: "History: each checkpoint, and each of the {kept} that you kept, is an earlier state of this very history.",
    EVENT: "Events: {counts[streams]} streams without a gap; two officers are behind each of {decisions} decisions,"
    " each of them in the role for it then.",
    CLAIM: "Claims: {counts[claims]} (numbers, codes, titles held once, papers) follow from the events, and no other.",
    REGISTER: "Register: {counts[titles]} titles, {counts[proposals]} open proposals, {counts[papers]} papers, sums.",
    CERTIFICATE: "Certificates: {certificates[checked]} signatures hold; the reference data is what was adopted.",
    UNREAD: "Nothing was left unread.",
}


def not_checked(told: dict[str, Any]) -> list[str]:
    """What an honest reader must know besides."""
    certificates = told["certificates"]
    remarks = {
        "Names, identity numbers, employers and reasons are sealed: only the registry can open them.": True,
        "Claims on identity numbers and the names in the register stay at the registry.": True,
        f"The export vouches for itself: compare its log key with the published one: {told['log_key']}": not told[
            "trusted"
        ],
        "You gave no checkpoint of your own: a history signed anew from its beginning would not be seen.": not told[
            "kept"
        ],
        "No witness that is known here has cosigned the newest checkpoint.": not told.get("witnesses"),
        f"{certificates['sealed']} certificates are signed over sealed content only.": certificates["sealed"],
        f"{certificates['void']} certificates do not count: their key was compromised by then.": certificates["void"],
        f"{certificates['unsigned']} certificates were prepared and are not signed.": certificates["unsigned"],
        f"This program came with an export: compare its SHA-256 with the published one: {told['kit']}": True,
    }
    return [remark for remark, holds in remarks.items() if holds]


def write_report(told: dict[str, Any]) -> str:
    lines = [f"Audit of the export in {told['directory']}", f"The log {told['log_key'].partition('+')[0]} has the root"]
    lines[1] += f" {told['root']} over {told['events']} events, the last recorded at {told['last']}."
    lines += ["", "Checked:"]
    for kind, step in STEPS.items():
        found = told["totals"].get(kind, 0)
        lines.append(f"  [{f'{kind}: {found} FOUND' if found else 'ok'}] {step.format(**told)}")
    lines += ["", "Not checked, and to be known:", *(f"  - {one}" for one in not_checked(told))]
    lines += ["", "Found:"] if told["findings"] else []
    lines += [f"  {one['kind']} {one['where']}: {one['what']}" for one in told["findings"]]
    verdict = "all well" if not told["exit_status"] else "NOT WELL"
    return "\n".join([*lines, "", f"Verdict: {verdict} (exit status {told['exit_status']})"])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check an audit export of a title registry.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    parser.add_argument("--checkpoint", action="append", default=[], type=Path, metavar="FILE")
    parser.add_argument("--key", type=lambda text: parse_vkey(text, (1,)), metavar="VKEY")
    parser.add_argument("--policy", type=lambda path: Policy(Path(path).read_bytes()), metavar="FILE")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    asked = parser.parse_args(arguments)
    try:
        need(asked.directory.is_dir() and asked.jobs > 0, f"{asked.directory} is no folder, or --jobs is not positive")
        kept = [note for path in asked.checkpoint for note in split_notes(f"your {path}", path)]
    except (OSError, ValueError) as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory() as scratch, ProcessPoolExecutor(asked.jobs, initializer=gc.disable) as pool:
        audit = Audit(asked.directory, Path(scratch), pool)
        audit.run(kept, asked.key, asked.policy)
    status, told = min(audit.findings.totals, default=0), audit.told
    told |= {"directory": str(asked.directory), "trusted": bool(asked.key), "kept": len(kept), "exit_status": status}
    told |= {"kit": hashlib.sha256(Path(__file__).read_bytes()).hexdigest(), "totals": dict(audit.findings.totals)}
    told["findings"] = [dict(zip(("kind", "where", "what"), one, strict=True)) for one in sorted(audit.findings.kept)]
    text = json.dumps(told, indent=2) if asked.json else write_report(told)
    sys.stdout.buffer.write("".join(one if one.isprintable() or one == "\n" else "?" for one in text).encode() + b"\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
