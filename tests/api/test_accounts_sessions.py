"""Sessions, API keys, links and sign-ins under way: who is signed in, for how long, and how it ends."""

import hashlib
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import pytest

from api.signin.accounts import Accounts
from api.signin.apikeys import is_whole
from api.signin.refusals import NotSignedIn, TooMany
from registry.errors import BadInput, NotFound, WrongState
from registry.permissions import Permission
from tests.api.accounts import ELSEWHERE, OFFICE, PASSWORD, Owner, enrolled, rfc6238, signs_in, store
from tests.people import CHIEF, CLERK, THIRD, Clock

ISSUER = "https://idp.example"
READ = [Permission.READ_TITLES]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock) -> Iterator[Accounts]:
    with closing(store(tmp_path, clock)) as found:
        yield found


@pytest.fixture
def owner(accounts: Accounts, clock: Clock) -> Owner:
    return enrolled(accounts, clock)


# sessions


def test_a_token_is_kept_as_its_hash(accounts: Accounts, owner: Owner, clock: Clock, tmp_path: Path) -> None:
    token = signs_in(accounts, owner, clock)
    session = accounts.session(token)
    assert session is not None
    assert session.id == hashlib.sha256(token.encode()).hexdigest()
    assert len(token) == 43, "256 bits in base64url"
    with closing(sqlite3.connect(tmp_path / "accounts.db")) as c:
        assert c.execute("SELECT id, actor FROM sessions").fetchall() == [(session.id, CLERK)]
    assert accounts.session(session.id) is None, "the id alone opens nothing"


@pytest.mark.parametrize("token", ["", "x", "a" * 10_000, "\ud800", "' OR 1=1 --"])
def test_a_token_that_is_none(accounts: Accounts, owner: Owner, clock: Clock, token: str) -> None:
    signs_in(accounts, owner, clock)
    assert accounts.session(token) is None


def test_half_an_hour_of_nothing_ends_a_session(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    token = signs_in(accounts, owner, clock)
    for _ in range(10):
        clock.forward(minutes=28)
        assert accounts.session(token)
    clock.forward(minutes=30)
    assert accounts.sessions(CLERK) == []
    assert accounts.session(token) is None
    clock.forward(minutes=-20)
    assert accounts.session(token), "what ended it is time, not that somebody looked"


def test_twelve_hours_end_it_whatever_one_does(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    token = signs_in(accounts, owner, clock)
    for _ in range(47):
        clock.forward(minutes=15)
        assert accounts.session(token)
    clock.forward(minutes=15)
    assert accounts.session(token) is None


def test_a_session_is_fresh_for_five_minutes(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    token = signs_in(accounts, owner, clock)
    seen = []
    for _ in range(6):
        session = accounts.session(token)
        seen.append(session is not None and session.fresh)
        clock.forward(minutes=1)
    assert seen == [True] * 5 + [False]


def test_confirming_makes_it_fresh_under_a_new_token(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    old = signs_in(accounts, owner, clock)
    clock.forward(minutes=10)
    new = accounts.confirm(old, PASSWORD, owner.code(clock), OFFICE)
    assert new != old
    assert accounts.session(old) is None
    session = accounts.session(new)
    assert session is not None
    assert session.fresh
    assert len(accounts.sessions(CLERK)) == 1
    with pytest.raises(NotSignedIn):
        accounts.confirm(old, PASSWORD, owner.code(clock), OFFICE)


def test_confirming_wants_the_sessions_own_account(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    other = enrolled(accounts, clock, "wuke", THIRD)
    token, provided = signs_in(accounts, owner, clock), accounts.open_session(CLERK, None)
    for wrong in (
        lambda: accounts.confirm(token, PASSWORD, other.code(clock), OFFICE),
        lambda: accounts.confirm(token, "wrong password!", owner.code(clock), OFFICE),
        lambda: accounts.confirm(provided, PASSWORD, owner.code(clock), OFFICE),
    ):
        with pytest.raises(NotSignedIn):
            wrong()
    assert accounts.session(token), "a wrong try ends nothing"
    assert accounts.confirm(token, PASSWORD, owner.code(clock), OFFICE)


def test_who_has_the_browser_cannot_guess_on(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    """Tries in a stolen session are counted for that session: its owner signs in elsewhere all the same."""
    stolen = signs_in(accounts, owner, clock)
    for _ in range(5):
        with pytest.raises(NotSignedIn):
            accounts.confirm(stolen, "wrong password!", "000000", OFFICE)
    with pytest.raises(TooMany):
        accounts.confirm(stolen, "wrong password!", "000000", ELSEWHERE)
    assert signs_in(accounts, owner, clock)


def test_ending_sessions(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    first, second = signs_in(accounts, owner, clock), accounts.open_session(CLERK, "lin")
    others = accounts.open_session(THIRD, None)
    ids = {one.login: one.id for one in accounts.sessions(CLERK)}
    assert set(ids) == {"lin"}
    one = accounts.session(second)
    assert one is not None
    accounts.end_session(one.id, THIRD)
    assert accounts.session(second), "another's session is as unknown as one that is over"
    accounts.end_session(one.id, CLERK)
    assert accounts.session(second) is None
    assert accounts.session(first)
    assert accounts.end_sessions(CLERK) == 1
    assert accounts.session(first) is None
    assert accounts.session(others)


def test_after_a_provider_our_own_second_factor(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    second = enrolled(accounts, clock, "lin2")
    closed = enrolled(accounts, clock, "lin3")
    accounts.disable("lin3")
    code = owner.code(clock)
    accounts.check_code(CLERK, code, OFFICE)
    for wrong in (code, "000000", owner.recovery[0], closed.code(clock)):
        with pytest.raises(NotSignedIn):
            accounts.check_code(CLERK, wrong, OFFICE)
    with pytest.raises(NotSignedIn):
        accounts.check_code(THIRD, second.code(clock), OFFICE)
    accounts.check_code(CLERK, second.code(clock), OFFICE)


def test_guessing_that_code_is_slow(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    code = owner.code(clock)
    for _ in range(5):
        with pytest.raises(NotSignedIn):
            accounts.check_code(CLERK, "000000", OFFICE)
    with pytest.raises(TooMany):
        accounts.check_code(CLERK, code, OFFICE)


# API keys


def test_a_key_has_a_form_that_others_can_check(accounts: Accounts, clock: Clock) -> None:
    key = accounts.make_api_key(CLERK, "夜间核对", READ, clock.now + timedelta(days=30))
    start, prefix, secret = key.split("_")
    assert (start, len(prefix), len(secret), key.isascii()) == ("tr", 8, 49, True)
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    number = 0
    for character in key[-6:]:
        number = number * 62 + digits.index(character)
    assert number == zlib.crc32(key[:-6].encode())
    assert is_whole(key)
    for at in (3, 12, 30, len(key) - 1):
        changed = key[:at] + ("a" if key[at] != "a" else "b") + key[at + 1 :]
        assert not is_whole(changed)
        assert accounts.api_key(changed) is None


def test_a_key_is_kept_as_its_hash_and_counts_its_days(accounts: Accounts, clock: Clock, tmp_path: Path) -> None:
    until = clock.now + timedelta(days=30)
    key = accounts.make_api_key(CLERK, " 夜间核对 ", READ, until)
    with closing(sqlite3.connect(tmp_path / "accounts.db")) as c:
        assert c.execute("SELECT id, mark, limits FROM api_keys").fetchall() == [
            (key[3:11], hashlib.sha256(key.encode()).digest(), "read-titles")
        ]
    found = accounts.api_key(key)
    assert found is not None
    assert (found.actor, found.name, found.limits, found.until) == (CLERK, "夜间核对", frozenset(READ), until)
    assert (found.prefix, found.used_on) == (key[:11], None)
    clock.forward(hours=20)  # half past five in Beijing, on the third
    accounts.api_key(key)
    assert accounts.api_keys(CLERK)[0].used_on == date(2026, 3, 3)


def test_another_secret_under_the_same_prefix(accounts: Accounts, clock: Clock) -> None:
    until = clock.now + timedelta(days=30)
    one, other = (accounts.make_api_key(CLERK, "x", READ, until) for _ in range(2))
    body = one[:12] + other[12:-6]
    digits, number, check = (
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        zlib.crc32(body.encode()),
        "",
    )
    for _ in range(6):
        number, rest = divmod(number, 62)
        check = digits[rest] + check
    assert is_whole(body + check)
    assert accounts.api_key(body + check) is None


def test_a_key_ends_by_time_or_by_its_owner(accounts: Accounts, clock: Clock) -> None:
    key = accounts.make_api_key(CLERK, "x", READ, clock.now + timedelta(days=30))
    late = accounts.make_api_key(CLERK, "y", READ, clock.now + timedelta(days=60))
    ident = key[3:11]
    assert accounts.owner_of_api_key(ident) == CLERK
    accounts.end_api_key(ident, THIRD)
    assert accounts.api_key(key)
    accounts.end_api_key(ident, CLERK)
    assert accounts.api_key(key) is None
    with pytest.raises(NotFound):
        accounts.owner_of_api_key(ident)
    assert [one.name for one in accounts.api_keys(CLERK)] == ["y"]
    clock.forward(days=60)
    assert accounts.api_key(late) is None
    assert accounts.api_keys(CLERK) == []


@pytest.mark.parametrize(
    ("name", "limits", "days", "says"),
    [
        ("", READ, 30, "名称"),
        ("x" * 61, READ, 30, "名称"),
        ("给 13900000000", READ, 30, "长串数字"),
        ("x", [], 30, "事项"),
        ("x", [Permission.HOST], 30, "事项"),
        ("x", [Permission.PUBLIC, *READ], 30, "事项"),
        ("x", READ, 0, "一年"),
        ("x", READ, 366, "一年"),
    ],
)
def test_a_key_that_cannot_be(
    accounts: Accounts, clock: Clock, name: str, limits: list[Permission], days: int, says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        accounts.make_api_key(CLERK, name, limits, clock.now + timedelta(days=days))
    assert accounts.api_keys(CLERK) == []


def test_twenty_keys_are_enough(accounts: Accounts, clock: Clock) -> None:
    until = clock.now + timedelta(days=365)
    for n in range(20):
        accounts.make_api_key(CLERK, f"k{n}", READ, until)
    with pytest.raises(BadInput, match="20"):
        accounts.make_api_key(CLERK, "one more", READ, until)
    accounts.make_api_key(THIRD, "another's", READ, until)


# providers


def test_links(accounts: Accounts) -> None:
    accounts.link(ISSUER, "s-1", CLERK, by=CHIEF)
    accounts.link(ISSUER, "s-1", CLERK, by=CHIEF)
    with pytest.raises(WrongState, match="另一人"):
        accounts.link(ISSUER, "s-1", THIRD, by=CHIEF)
    accounts.link(ISSUER, "s-2", CLERK, by=CHIEF)
    asked = [(ISSUER, "s-1"), (ISSUER, "s-2"), (ISSUER, "s-3"), ("https://other.example", "s-1"), (ISSUER + "s", "-1")]
    assert [accounts.linked(*one) for one in asked] == [CLERK, CLERK, None, None, None]
    first = accounts.links()[0].id
    accounts.unlink(first)
    assert len(accounts.links()) == 1
    with pytest.raises(NotFound):
        accounts.unlink(first)


def test_a_sign_in_under_way_is_taken_once_within_ten_minutes(accounts: Accounts, clock: Clock) -> None:
    accounts.keep_request("one", b"nonce and verifier")
    accounts.keep_request("late", b"another")
    assert accounts.take_request("none") is None
    assert accounts.take_request("one") == b"nonce and verifier"
    assert accounts.take_request("one") is None
    clock.forward(minutes=10)
    assert accounts.take_request("late") is None


# what is over


def test_pruning_drops_what_is_over_and_nothing_else(
    accounts: Accounts, owner: Owner, clock: Clock, tmp_path: Path
) -> None:
    signs_in(accounts, owner, clock)
    accounts.enrol(THIRD, by=CHIEF, alone=True)
    accounts.keep_request("one", b"x")
    accounts.make_api_key(CLERK, "x", READ, clock.now + timedelta(days=1))
    with pytest.raises(NotSignedIn):
        accounts.sign_in("lin", "wrong password!", "000000", ELSEWHERE)
    accounts.prune()
    assert _counts(tmp_path) == {"sessions": 1, "enrolments": 1, "requests": 1, "api_keys": 1, "failures": 4} | {
        "accounts": 1,
        "recovery_codes": 8,
        "known_networks": 1,
    }
    clock.forward(days=92)
    accounts.prune()
    kept = {table: count for table, count in _counts(tmp_path).items() if count}
    assert kept == {"accounts": 1, "recovery_codes": 8}
    assert accounts.sign_in("lin", PASSWORD, rfc6238(owner.secret, clock.now.timestamp()), OFFICE)


def _counts(path: Path) -> dict[str, int]:
    tables = (
        "sessions",
        "enrolments",
        "requests",
        "api_keys",
        "failures",
        "accounts",
        "recovery_codes",
        "known_networks",
    )
    with closing(sqlite3.connect(path / "accounts.db")) as c:
        return {one: c.execute(f"SELECT count(*) FROM {one}").fetchone()[0] for one in tables}
