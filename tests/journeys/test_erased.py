"""A person asks to be erased: afterwards a search over every byte of the data folder finds nothing of them.

The service runs in a process of its own all the while, with its own connections and caches. The same search finds the
person before, in each place where they were, and finds another person afterwards as before.
"""

import base64
import re
import zlib
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pypdfium2 import PdfDocument

from api.cli.massissue import file_name
from api.documents.delivery import deliver
from api.documents.press import Press
from registry.audit import verify_live
from registry.errors import WrongState
from registry.holders.holder import ErasureBasis
from registry.holders.identity import index_key, mask, parse
from registry.holders.person import Identity
from registry.masking import mask_name
from registry.register.rows import pinyin
from registry.requests.request import Outcome, RequestKind
from registry.service import Registry
from registry.terms import IdentityKind
from registry.titles.events import DecisionKind
from tests.people import (
    CHIEF,
    CITY,
    CLERK,
    awarding,
    deciding,
    fifteen,
    identity_number,
    paper_of_1998,
    person,
    proposed,
    scans,
    settable,
)
from tests.served import Site, found_registry, free_port, serving

NAME, NEW_NAME, OTHER = "龚䶮焱", "龚羴焱", "邹垚骉"
NUMBER, PASSPORT = identity_number(8_123), "QX7719332"
EMPLOYER, REFUSAL, WISH, SCAN = "靐龗建筑设计院", "㵘证据不足㴇", "㒰请删除我㒱", b"the scan itself, canary 8841f2"
WORDS = (
    NAME, NEW_NAME, mask_name(NEW_NAME), *pinyin(NAME)[:1], *pinyin(NEW_NAME)[:1], NUMBER, fifteen(NUMBER),
    mask(parse(NUMBER)), PASSPORT, EMPLOYER, REFUSAL, WISH, SCAN.decode(),
)  # fmt: skip
_STREAM = re.compile(rb"stream\r?\n")


def forms(word: str) -> Iterator[bytes]:
    """The word as bytes: in four encodings, escaped as JSON, in hex, in base64 at each of its offsets."""
    yield from (word.encode(encoding) for encoding in ("utf-8", "gb18030", "utf-16-le", "utf-16-be"))
    clear = word.encode()
    yield clear.hex().encode()
    if not word.isascii():
        yield word.encode("ascii", "backslashreplace")
    for offset in range(3):
        coded = base64.b64encode(bytes(offset) + clear + bytes(3))
        yield coded[-(-offset * 8 // 6) + bool(offset) : (offset + len(clear)) * 8 // 6]


def readings(data: bytes) -> Iterator[bytes]:
    """The bytes as they are; of a PDF also every stream inflated, and its text as another program reads it."""
    yield data
    if data.startswith(b"%PDF"):
        for found in _STREAM.finditer(data):
            try:
                yield zlib.decompressobj().decompress(data[found.end() :])
            except zlib.error:
                continue
        if b"startxref" in data:
            with closing(PdfDocument(data)) as document:
                yield document[0].get_textpage().get_text_range().encode()


def places(folder: Path, *things: str | bytes) -> dict[str, set[str | bytes]]:
    """Where each thing is found: the names of files, their own names included."""
    wanted = {thing: set(forms(thing)) if isinstance(thing, str) else {thing} for thing in things}
    found: dict[str, set[str | bytes]] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            texts = [str(path.relative_to(folder)).encode(), *readings(path.read_bytes())]
            seen = {thing for thing, looks in wanted.items() if any(look in text for look in looks for text in texts)}
            if seen:
                found[path.name] = seen
    return found


class Story:
    """A life with everything that leaves a trace, told over a data folder that is being served."""

    def __init__(self, registry: Registry) -> None:
        self.registry, self.press = registry, Press()
        self.documents = registry.folder.path / "certificates"
        self.documents.mkdir()
        self.title = registry.award(awarding(person(8_123, NAME, number=NUMBER), employer=EMPLOYER), officer=CLERK)
        self.holder = registry.title(self.title).holder
        self._issued(self.title)
        about: Any = {"basis": "change", "document_no": "丽公1号", "effective_on": date(2026, 1, 1)}
        registry.rename_holder(self.holder, NEW_NAME, officer=CLERK, **about)
        passport = Identity(IdentityKind.PASSPORT, PASSPORT, country="JPN")
        registry.link_identity(self.holder, passport, document_no="丽公2号", officer=CLERK)
        self._issued(self.title)
        old = paper_of_1998(person(8_123, NEW_NAME, number=fifteen(NUMBER)), employer=EMPLOYER)
        sent = registry.submit_paper(old, date(1998, 12, 28), scans(SCAN), officer=CLERK)
        registry.approve_paper(sent.id, sent.fact.digest, officer=CHIEF)
        open_ = proposed(registry, self.title, deciding(DecisionKind.REVOCATION))
        registry.refuse(open_.fact.proposal, REFUSAL, officer=CHIEF)
        requesting = registry.requesting
        request = requesting.make(self.holder, RequestKind.ERASURE, WISH, officer=CLERK)
        requesting.answer(request, Outcome.DONE, WISH, officer=CHIEF)
        other = registry.award(awarding(person(8_124, OTHER)), officer=CLERK)
        self.other = registry.title(other).holder
        self._issued(other)
        registry.tlog.sequence()
        registry.register.catch_up()

    def _issued(self, title: str) -> None:
        """Sign a certificate and leave its document in the data folder, under each of the names that are in use."""
        certificate = self.registry.issue(title, settable, officer=CLERK)
        pdf = deliver(self.registry, self.press, certificate)
        (self.documents / f"{certificate.code}.pdf").write_bytes(pdf)
        (self.documents / file_name(certificate)).write_bytes(pdf)

    def keys(self, holder: str) -> tuple[bytes, str]:
        """The wrapped data key and the blind index, which must go as well."""
        wrapped = self.registry.log.recorder.wrapped_key(holder)
        assert wrapped
        number = NUMBER if holder == self.holder else identity_number(8_124)
        return wrapped, self.registry.custody.vault().blind_index(index_key(parse(number)))

    def erase(self) -> None:
        """Two officers."""
        erasing = self.registry.erasing
        one = erasing.propose(self.holder, ErasureBasis.REQUEST, "丽人社删〔2026〕1号", CITY, officer=CLERK).fact
        erasing.approve(one.proposal, one.digest, officer=CHIEF)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    registry = found_registry(tmp_path_factory.mktemp("erased") / "data", free_port())
    yield Story(registry)
    registry.close()


@pytest.fixture(scope="module")
def site(story: Story) -> Iterator[Site]:
    folder = story.registry.folder.path
    with serving(folder, int(story.registry.config.base_url.rpartition(":")[2])) as served:
        yield served


@pytest.mark.sqlite_file
def test_nothing_is_left_of_the_person(story: Story, site: Site) -> None:
    registry, folder = story.registry, story.registry.folder.path
    first, newest = registry.title(story.title).certificates
    answers = [site.verified(one.code) for one in (first, newest)]
    assert [one["status"] for one in answers] == ["superseded", "valid"]
    assert answers[1]["certificate"]["name"] == mask_name(NEW_NAME)
    mine, others = story.keys(story.holder), story.keys(story.other)
    before = places(folder, *WORDS, *mine, OTHER, *others)
    _check_the_control(before, mine)
    assert [path.name for path in registry.folder.evidence.glob(f"{story.holder}-*.sealed")]
    story.erase()
    assert not [*registry.folder.evidence.glob("*")]
    assert places(folder, *WORDS, *mine) == {}
    after = places(folder, OTHER, *others)
    assert set().union(*after.values()) == {OTHER, *others}
    assert {name for name in after if name.endswith(".pdf")} == {
        name for name, seen in before.items() if OTHER in seen and name.endswith(".pdf")
    }
    _check_answers(site, answers, first.code, newest.code)
    assert places(folder, *WORDS, *mine) == {}
    assert verify_live(registry).findings == []
    with pytest.raises(WrongState):
        deliver(registry, story.press, registry.title(story.title).certificates[-1])
    site.stop()
    registry.close()
    assert places(folder, *WORDS, *mine) == {}
    assert not [word for word in WORDS if word in site.said]


def _check_the_control(before: dict[str, set[str | bytes]], mine: tuple[bytes, str]) -> None:
    """The search finds the person before: names in the register, keys in the log, everything on the documents."""
    databases = set().union(*(seen for name, seen in before.items() if name.startswith("register.db")))
    assert {NAME, NEW_NAME, pinyin(NAME)[0]} <= databases
    log = set().union(*(seen for name, seen in before.items() if name.startswith("registry.db")))
    assert set(mine) <= log
    assert NAME not in log
    documents = [seen for name, seen in before.items() if name.endswith(".pdf")]
    printed = set().union(*documents)
    assert {NAME, NEW_NAME, OTHER, mask(parse(NUMBER))} <= printed
    assert len(documents) == 6


def _check_answers(site: Site, before: list[dict[str, Any]], *codes: str) -> None:
    """The status as it stands, the title as it was, no name, and a sentence that says why."""
    for old, code in zip(before, codes, strict=True):
        answer = site.verified(code)
        assert answer["status"] == old["status"]
        assert answer["certificate"] == {**old["certificate"], "name": "（已删除）"}
        assert answer["sentence"].startswith(old["sentence"])
        assert "个人信息已依法删除" in answer["sentence"]
        page = site.get(f"/v/{code}", headers={"accept": "text/html"})
        assert "（已删除）" in page.text
        assert "个人信息已依法删除" in page.text
