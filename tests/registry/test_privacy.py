"""After a whole life, no personal word lies in clear in the data folder, outside the register that can be rebuilt."""

import base64
import logging
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from registry.errors import HolderConflict, ListRefused, RegistryError
from registry.holders.identity import parse
from registry.holders.person import Identity, Person
from registry.service import Registry
from registry.terms import IdentityKind
from registry.titles.certificate import token_of
from registry.titles.events import DecisionKind
from tests import engine
from tests.check_log import check_log
from tests.conftest import CONFIG
from tests.people import (
    CHIEF,
    CITY,
    CLERK,
    DOCUMENT,
    Clock,
    awarding,
    correcting,
    decided,
    deciding,
    fifteen,
    found,
    identity_number,
    paper_of_1998,
    person,
    proposed,
    scans,
    settable,
)

# Words that stand nowhere else: rare characters, so that nothing is found by chance.
NAME, NEW_NAME, PAPER_NAME, LISTED_NAME = "䶮㛃鑫", "龘㛃鑫", "犇骉焱", "羴鱻灥"
EMPLOYER, PAPER_EMPLOYER, LISTED_EMPLOYER = "靐龗建筑设计院", "厵瞐第一建筑公司", "雥齾水务公司"
REASON, REFUSAL, PAPER_REFUSAL = "䨻材料系伪造䯂", "㵘证据不足㴇", "㒰扫描件模糊㒱"
NUMBERS = {name: identity_number(n) for n, name in enumerate((NAME, PAPER_NAME, LISTED_NAME), 71)}
PASSPORT = "QX7719332"
NAMES = (NAME, NEW_NAME, PAPER_NAME, LISTED_NAME)
SCAN = b"the scan itself, canary 8841f2"
PRIVATE = (
    *NAMES, EMPLOYER, PAPER_EMPLOYER, LISTED_EMPLOYER, REASON, REFUSAL, PAPER_REFUSAL, PASSPORT,
    *NUMBERS.values(), *(fifteen(number) for number in NUMBERS.values()),
    *(number[6:14] for number in NUMBERS.values()), SCAN.decode(),
)  # fmt: skip


def disguises(word: str) -> Iterator[tuple[str, bytes]]:
    """The word as bytes: in two encodings, escaped as JSON, in hex, and in base64 at each of its three offsets."""
    for encoding in ("utf-8", "gb18030"):
        clear = word.encode(encoding)
        yield encoding, clear
        yield f"{encoding} in hex", clear.hex().encode()
        for offset in range(3):
            coded = base64.b64encode(bytes(offset) + clear + bytes(3))
            start, end = -(-offset * 8 // 6) + (1 if offset else 0), (offset + len(clear)) * 8 // 6
            yield f"{encoding} in base64 at {offset}", coded[start:end]
    yield "utf-16", word.encode("utf-16-le")
    if not word.isascii():
        yield "escaped", word.encode("ascii", "backslashreplace")


def leaks(data: bytes, words: tuple[str, ...] = PRIVATE) -> list[tuple[str, str]]:
    return [(word, how) for word in words for how, disguise in disguises(word) if disguise in data]


def whole_life(registry: Registry, tmp_path: Path) -> list[str]:
    """Award, certify, rename, correct, revoke, reinstate, convert, refuse, import; and everything that goes wrong."""
    said: list[str] = []

    def refused(step: Any) -> None:
        try:
            step()
        except RegistryError as error:
            said.extend((repr(error), error.message, error.fix, repr(error.about)))
        else:
            raise AssertionError("not refused")

    who = person(71, NAME, number=fifteen(NUMBERS[NAME]))
    title = registry.award(awarding(who, employer=EMPLOYER), officer=CLERK)
    holder = registry.title(title).holder
    registry.issue(title, settable, officer=CLERK)
    about: Any = {"basis": "change", "document_no": "丽公1号", "effective_on": date(2026, 1, 1), "officer": CLERK}
    registry.rename_holder(holder, NEW_NAME, **about)
    passport = Identity(IdentityKind.PASSPORT, PASSPORT, country="JPN")
    registry.link_identity(holder, passport, document_no="丽公2号", officer=CLERK)
    registry.issue(title, settable, officer=CLERK)
    open_ = proposed(registry, title, deciding(DecisionKind.REVOCATION, reason=REASON))
    registry.refuse(open_.fact.proposal, REFUSAL, officer=CHIEF)
    decided(registry, title, correcting(registry.title(title), specialty="给水排水"))
    decided(registry, title, deciding(DecisionKind.REVOCATION, reason=REASON))
    decided(registry, title, deciding(DecisionKind.REINSTATEMENT, reason=REASON))
    certificate = registry.issue(title, settable, officer=CLERK)
    old = paper_of_1998(person(72, PAPER_NAME), employer=PAPER_EMPLOYER)
    sent = registry.submit_paper(old, date(1998, 12, 28), scans(SCAN), officer=CLERK)
    registry.refuse_paper(sent.id, PAPER_REFUSAL, officer=CHIEF)
    again = registry.submit_paper(old, date(1998, 12, 28), scans(SCAN), officer=CLERK)
    done = registry.approve_paper(again.id, again.fact.digest, officer=CHIEF)
    registry.issue(done.title or "", settable, officer=CLERK)
    imported(registry, tmp_path)
    said += [repr(registry.title(title)), repr(registry.holder(holder)), repr(registry.history(holder))]
    said += [repr(registry.history(title)), repr(registry.application(again.id)), repr(registry.history(again.id))]
    said += [repr(registry.verifier.check(certificate.code)), repr(token_of(certificate))]
    refused(lambda: registry.award(awarding(Person(NAME, parse(NUMBERS[PAPER_NAME]))), officer=CLERK))
    refused(lambda: registry.link_identity(holder, parse(NUMBERS[PAPER_NAME]), document_no="1", officer=CLERK))
    refused(lambda: registry.award(awarding(who, number="3311002021000001", specialty="暖通"), officer=CLERK))
    return said


def imported(registry: Registry, tmp_path: Path) -> None:
    """A list with one good row; before that the same list with a second, bad one, which is refused as a whole."""
    plan = registry.catalogue.plan(2021)
    assert plan
    row = {
        "name": LISTED_NAME, "identity": NUMBERS[LISTED_NAME], "series": "工程技术人员", "specialty": "建筑工程",
        "level": "中级", "title_name": "工程师", "awarded_on": "2021-09-20", "employer": LISTED_EMPLOYER,
        "committee": next(row.written_name for row in plan.rows if row.key == "A1-1-17"),
    }  # fmt: skip
    path = tmp_path / "outside.jsonl"
    path.write_bytes(msgspec.json.encode(row) + b"\n" + msgspec.json.encode({**row, "identity": "1"}))
    with pytest.raises(ListRefused):
        registry.import_awards(path, authority=CITY, document=DOCUMENT, officer=CLERK)
    path.write_bytes(msgspec.json.encode(row))
    assert registry.import_awards(path, authority=CITY, document=DOCUMENT, officer=CLERK).awarded == 1


@pytest.mark.sqlite_file
@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_no_personal_word_in_clear(
    registry: Registry, tmp_path: Path, capfd: Any, caplog: pytest.LogCaptureFixture, closed: bool
) -> None:
    """With the write-ahead log beside the file, and after it was folded in."""
    caplog.set_level(logging.DEBUG)
    whole_life(registry, tmp_path)
    check_log(registry)
    if closed:
        registry.close()
    files = [path for path in registry.folder.path.rglob("*") if path.is_file()]
    searched = [path for path in files if not path.name.startswith("register.db")]
    assert {"registry.db", "config.json"} < {path.name for path in searched}
    assert any(path.suffix == ".sealed" for path in searched)
    assert any(path.name.endswith("-wal") for path in searched) is not closed
    found = {path.name: leaks(path.read_bytes() + str(path).encode()) for path in searched}
    assert not {name: words for name, words in found.items() if words}
    out, err = capfd.readouterr()
    assert not leaks((out + err + caplog.text).encode())


def test_no_personal_word_in_the_files_of_a_server(tmp_path: Path, passphrase: bytes, clock: Clock) -> None:
    """Tables, indexes and the write-ahead log of a PostgreSQL that keeps the log; what is no secret is found there."""
    server = engine.Server()
    try:
        config = msgspec.structs.replace(CONFIG, database=server.url("life"))
        with closing(Registry.create(tmp_path / "data", passphrase, config, clock)) as registry:
            found(registry)
            whole_life(registry, tmp_path)
        with psycopg.connect(server.url(), autocommit=True) as c:
            c.execute("CHECKPOINT")
        files = [path.read_bytes() for path in server.data.rglob("*") if path.is_file()]
        assert sum(b"title-awarded/1" in data for data in files) > 1
        assert not [words for data in files if (words := leaks(data))]
    finally:
        server.remove()


def test_the_register_has_names_and_no_numbers(registry: Registry, tmp_path: Path) -> None:
    whole_life(registry, tmp_path)
    registry.register.catch_up()
    registry.close()
    data = b"".join(path.read_bytes() for path in registry.folder.path.glob("register.db*"))
    assert all(name.encode() in data for name in NAMES)
    assert not leaks(data, tuple(word for word in PRIVATE if word not in NAMES))


def test_what_the_program_says_names_no_number(registry: Registry, tmp_path: Path) -> None:
    """Errors and representations are what ends in logs. A conflict names the name, to an officer only."""
    said = "\n".join(whole_life(registry, tmp_path)).encode()
    assert not leaks(said, tuple(word for word in PRIVATE if word not in NAMES))


def test_a_conflict_is_the_only_message_with_a_name(registry: Registry) -> None:
    registry.award(awarding(person(71, NAME)), officer=CLERK)
    with pytest.raises(HolderConflict) as caught:
        registry.award(awarding(person(71, PAPER_NAME), specialty="暖通"), officer=CLERK)
    assert not leaks(repr(caught.value).encode(), tuple(NUMBERS.values()))


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """The canaries sing: each disguise is found when it is really there."""
    for word in (NAME, NUMBERS[NAME], REASON):
        for encoding in ("utf-8", "gb18030"):
            clear = word.encode(encoding)
            for before in range(4):
                boxed = b"x" * before + clear + b"yz"
                for data in (boxed, base64.b64encode(boxed), boxed.hex().encode()):
                    assert leaks(b"{" + data + b"}", (word,)), (word, encoding, before)
    assert leaks(msgspec.json.encode({"n": NAME}), (NAME,))
    assert leaks(str(NAME).encode("ascii", "backslashreplace"), (NAME,))
    assert not leaks(b"nothing here" * 99)


def test_the_blind_index_is_no_plain_hash(registry: Registry) -> None:
    """Whoever has the file but not the keys cannot try out all numbers."""
    import hashlib

    registry.award(awarding(person(71, NAME)), officer=CLERK)
    wanted = "SELECT key FROM claims WHERE scope='identity' AND stream LIKE 'holder-%'"
    [(index,)] = engine.asked(registry.folder, wanted)
    number = NUMBERS[NAME]
    for text in (number, f"resident_id||{number}", f"blind-index/1|resident_id||{number}"):
        for name in hashlib.algorithms_guaranteed - {"shake_128", "shake_256"}:
            assert hashlib.new(name, text.encode()).hexdigest() != index


@pytest.mark.sqlite_file
def test_an_erased_person_is_gone_from_the_bytes(registry: Registry, tmp_path: Path) -> None:
    """Destroying the data key leaves no bytes of it in the file: secure_delete."""
    stream = registry.award(awarding(person(71, NAME), employer=EMPLOYER), officer=CLERK)
    holder = registry.title(stream).holder
    wrapped = registry.log.recorder.wrapped_key(holder)
    assert wrapped
    registry.log.recorder.connection.execute("DELETE FROM data_keys WHERE holder=?", (holder,))
    registry.log.recorder.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    registry.close()
    for path in registry.folder.path.glob("registry.db*"):
        assert wrapped not in path.read_bytes()
