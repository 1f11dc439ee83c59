"""Local accounts: set up by a code, signed in to with password and second factor, closed, reset, forgotten."""

import base64
import multiprocessing
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from argon2.low_level import Type, hash_secret_raw

from api.signin.accounts import Accounts
from api.signin.enrolments import EnrolmentRefused
from api.signin.passwords import Cost, Passwords, check_new
from api.signin.refusals import NotSignedIn, TooMany
from registry.errors import BadInput, NeedsSecondOfficer, NotFound, Unavailable, WrongState
from registry.permissions import Permission
from tests.api.accounts import CHEAP, ELSEWHERE, KEY, OFFICE, PASSWORD, Owner, enrolled, rfc6238, signs_in, store
from tests.api.conftest import Cli
from tests.people import CHIEF, CLERK, THIRD, Clock

HOLDER = "holder-01K00000000000000000000001"


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


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path / "accounts.db")) as c:
        return c.execute(sql).fetchall()


# setting up


def test_an_account_from_its_code_to_the_first_sign_in(accounts: Accounts, clock: Clock, tmp_path: Path) -> None:
    code = accounts.enrol(CLERK, by=CHIEF, alone=True)
    made = accounts.begin_enrolment(code.lower().replace("-", " "), " Lin.Xiaolan ", PASSWORD, OFFICE)
    with pytest.raises(NotSignedIn):
        accounts.sign_in("lin.xiaolan", PASSWORD, rfc6238(made.secret, clock.now.timestamp()), OFFICE)
    assert accounts.enrolment(made.token) == made
    recovery = accounts.confirm_enrolment(made.token, rfc6238(made.secret, clock.now.timestamp()))
    assert len(set(recovery)) == 8
    assert accounts.enrolment(made.token) is None
    clock.forward(seconds=30)
    token = accounts.sign_in("LIN.xiaolan ", PASSWORD, rfc6238(made.secret, clock.now.timestamp()), OFFICE)
    session = accounts.session(token)
    assert session is not None
    assert (session.actor, session.login, session.factors) == (CLERK, "lin.xiaolan", "password+totp")
    [one] = accounts.accounts()
    assert (one.login, one.actor, one.made_by, one.recovery_codes) == ("lin.xiaolan", CLERK, CHIEF, 8)


def test_what_the_authenticator_reads(accounts: Accounts) -> None:
    made = accounts.begin_enrolment(accounts.enrol(CLERK, by=CHIEF, alone=True), "lin", PASSWORD, OFFICE)
    parts = urlsplit(made.uri)
    assert (parts.scheme, parts.netloc, parts.path) == ("otpauth", "totp", "/title-registry:lin")
    assert parse_qs(parts.query) == {"secret": [made.secret], "issuer": ["title-registry"]}
    assert len(base64.b32decode(made.secret)) == 20


def test_a_code_is_good_once(accounts: Accounts, clock: Clock) -> None:
    code = accounts.enrol(CLERK, by=CHIEF, alone=True)
    first = accounts.begin_enrolment(code, "lin", PASSWORD, OFFICE)
    again = accounts.begin_enrolment(code, "lin", PASSWORD, OFFICE)  # the browser was closed
    assert accounts.enrolment(first.token) is None
    accounts.confirm_enrolment(again.token, rfc6238(again.secret, clock.now.timestamp()))
    with pytest.raises(EnrolmentRefused, match="已使用"):
        accounts.begin_enrolment(code, "other", PASSWORD, OFFICE)
    with pytest.raises(EnrolmentRefused):
        accounts.confirm_enrolment(again.token, rfc6238(again.secret, clock.now.timestamp()))
    assert [one.login for one in accounts.accounts()] == ["lin"]


def test_a_code_lasts_72_hours(accounts: Accounts, clock: Clock) -> None:
    code, late = accounts.enrol(CLERK, by=CHIEF, alone=True), accounts.enrol(THIRD, by=CHIEF, alone=True)
    clock.forward(hours=71, minutes=59)
    made = accounts.begin_enrolment(code, "lin", PASSWORD, OFFICE)
    clock.forward(minutes=1)
    with pytest.raises(EnrolmentRefused):
        accounts.confirm_enrolment(made.token, rfc6238(made.secret, clock.now.timestamp()))
    with pytest.raises(EnrolmentRefused):
        accounts.begin_enrolment(late, "lin", PASSWORD, OFFICE)
    assert accounts.waiting() == []
    assert accounts.accounts() == []


@pytest.mark.parametrize(
    "login", ["li", "-lin", "林晓岚", "lin xiaolan", "a" * 33, "lin@x", "lin19900101", "1990-0101-x"]
)
def test_a_name_that_cannot_be_one(accounts: Accounts, login: str) -> None:
    code = accounts.enrol(CLERK, by=CHIEF, alone=True)
    with pytest.raises(BadInput, match="账号名"):
        accounts.begin_enrolment(code, login, PASSWORD, OFFICE)
    accounts.begin_enrolment(code, "lin", PASSWORD, OFFICE)


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("elevenchars", "12 至 128"),
        ("ab" * 64 + "c", "12 至 128"),
        ("my LIN is long", "账号名"),
        ("password12345678", "常见"),
        ("P a s s w o r d 2 0 2 6", "常见"),
        ("ｐａｓｓｗｏｒｄ１２３４", "常见"),
        ("1qaz2wsx3edc", "常见"),
        ("woaini1314520!", "常见"),
        ("aaaaaaaaaaaaaaaa", "常见"),
        ("abababababababab", "常见"),
        ("098765432109876", "常见"),
        ("qwertyuiopasdf", "常见"),
        ("lishui-123456789", "常见"),
    ],
)
def test_a_password_nobody_should_have(password: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        check_new(password, "lin")


@pytest.mark.parametrize(
    "password", [PASSWORD, "a1b2c3d4e5f6", "   o7  p q! r", "清风明月本无价近水远山皆有情", "xyzwvu" * 21]
)
def test_any_other_password_may_be_one(password: str) -> None:
    check_new(password, "lin")


def test_a_name_belongs_to_one(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    code = accounts.enrol(THIRD, by=CHIEF, alone=True)
    with pytest.raises(WrongState, match="已被使用"):
        accounts.begin_enrolment(code, owner.login, PASSWORD, OFFICE)
    begun = [
        accounts.begin_enrolment(one, "wuke", PASSWORD, OFFICE)
        for one in (code, accounts.enrol(CLERK, by=CHIEF, alone=True))
    ]
    now = clock.now.timestamp()
    accounts.confirm_enrolment(begun[0].token, rfc6238(begun[0].secret, now))
    with pytest.raises(WrongState, match="已被使用"):
        accounts.confirm_enrolment(begun[1].token, rfc6238(begun[1].secret, now))
    assert [(one.login, one.actor) for one in accounts.accounts()] == [("lin", CLERK), ("wuke", THIRD)]


def test_guessing_enrolment_codes_is_slow(accounts: Accounts) -> None:
    wrong = ("00000-00000-00000-00000", "lin", PASSWORD, ELSEWHERE)
    for _ in range(120):
        with pytest.raises(EnrolmentRefused):
            accounts.begin_enrolment(*wrong)
    with pytest.raises(TooMany):
        accounts.begin_enrolment(*wrong)
    accounts.begin_enrolment(accounts.enrol(CLERK, by=CHIEF, alone=True), "lin", PASSWORD, OFFICE)


# what is kept


def test_the_file_tells_nobody_anything(accounts: Accounts, owner: Owner, clock: Clock, tmp_path: Path) -> None:
    code = accounts.enrol(THIRD, by=CHIEF, alone=True)
    token = signs_in(accounts, owner, clock)
    key = accounts.make_api_key(CLERK, "夜间核对", [Permission.READ_TITLES], clock.forward(days=0).replace(month=6))
    accounts.keep_request("the-state", b"the verifier")
    accounts.link("https://idp.example", "331199199001011234", CLERK, by=CHIEF)
    secrets = [PASSWORD, owner.secret, token, key, "the verifier", "the-state", "331199199001011234", OFFICE, "192.0.2"]
    secrets += [*owner.recovery, code, code.replace("-", ""), *(one.replace("-", "") for one in owner.recovery)]
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        content = file.read_bytes()
        assert not [one for one in secrets if one.encode() in content], file
        assert base64.b32decode(owner.secret) not in content
    assert {file.name for file in tmp_path.iterdir()} == {"accounts.db", "accounts.db-wal", "accounts.db-shm"}


def test_the_password_is_hashed_by_argon2id(accounts: Accounts, owner: Owner, tmp_path: Path) -> None:
    [(kept,)] = rows(tmp_path, "SELECT password FROM accounts")
    _, name, version, parameters, salt, tag = str(kept).split("$")
    assert (name, version, parameters) == ("argon2id", "v=19", "m=64,t=1,p=1")
    raw = hash_secret_raw(PASSWORD.encode(), base64.b64decode(salt + "=="), 1, 64, 1, 32, Type.ID)
    assert base64.b64decode(tag + "=") == raw


def test_what_a_hash_costs_by_default() -> None:
    kept = Passwords(Cost()).nobodys
    assert kept.startswith("$argon2id$v=19$m=47104,t=2,p=1$")


def test_a_hash_of_other_parameters_is_made_anew_at_sign_in(
    accounts: Accounts, owner: Owner, clock: Clock, tmp_path: Path
) -> None:
    with closing(store(tmp_path, clock, Cost(memory=128, passes=1, lanes=1))) as dearer:
        with pytest.raises(NotSignedIn):
            dearer.sign_in("lin", "not the password", owner.code(clock), OFFICE)
        assert "m=64," in str(rows(tmp_path, "SELECT password FROM accounts"))
        signs_in(dearer, owner, clock)
        assert "m=128," in str(rows(tmp_path, "SELECT password FROM accounts"))
        signs_in(dearer, owner, clock)


def test_a_secret_moved_to_another_account_opens_nothing(
    accounts: Accounts, owner: Owner, clock: Clock, tmp_path: Path
) -> None:
    other = enrolled(accounts, clock, "wuke", THIRD)
    with closing(sqlite3.connect(tmp_path / "accounts.db")) as c, c:
        c.execute("UPDATE accounts SET secret=(SELECT secret FROM accounts WHERE login='lin') WHERE login='wuke'")
    with pytest.raises(Exception, match="密封"):
        accounts.sign_in(other.login, PASSWORD, rfc6238(owner.secret, clock.forward(seconds=30).timestamp()), OFFICE)


def test_a_file_of_a_newer_version_or_none_at_all_is_refused(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "a").mkdir()
    store(tmp_path / "a", clock).close()
    with closing(sqlite3.connect(tmp_path / "a" / "accounts.db")) as c:
        c.execute("PRAGMA user_version=99")
    with pytest.raises(Unavailable, match="更新的版本"):
        store(tmp_path / "a", clock)
    (tmp_path / "accounts.db").write_bytes(b"not a database, but long enough to be read as one" * 30)
    with pytest.raises(Unavailable, match="不能读取"):
        store(tmp_path, clock)


# signing in


def test_every_wrong_thing_looks_the_same(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    enrolled(accounts, clock, "wuke", THIRD)
    accounts.disable("wuke")
    right = owner.code(clock)
    said = set[str]()
    for login, password, code in [
        ("nobody", PASSWORD, right),
        ("lin", "wrong password!", right),
        ("lin", PASSWORD, "000000"),
        ("lin", PASSWORD, ""),
        ("lin", PASSWORD, "AAAA-BBBB-CCCC-DDDD"),
        ("wuke", PASSWORD, right),
    ]:
        with pytest.raises(NotSignedIn) as refused:
            accounts.sign_in(login, password, code, OFFICE)
        said.add(f"{refused.value.code} {refused.value} {refused.value.fix} {refused.value.about}")
    assert len(said) == 1
    assert accounts.sign_in("lin", PASSWORD, right, OFFICE)


def test_every_wrong_thing_costs_one_argon2(tmp_path: Path, clock: Clock) -> None:
    """In processor time of this thread, which the other tests on this machine do not lengthen much."""
    dear = Cost(memory=32 * 1024, passes=3, lanes=1)
    with closing(store(tmp_path, clock, dear)) as accounts:
        lin, wuke = enrolled(accounts, clock, "lin"), enrolled(accounts, clock, "wuke", THIRD)
        accounts.disable("wuke")
        one = _cost(lambda: Passwords(dear).hash("x" * 16))
        tries: list[Callable[[], object]] = [
            lambda: accounts.sign_in("nobody", PASSWORD, "000000", OFFICE),
            lambda: accounts.sign_in("lin", "wrong password!", "000000", OFFICE),
            lambda: accounts.sign_in("lin", PASSWORD, "000000", OFFICE),
            lambda: accounts.sign_in("wuke", PASSWORD, wuke.code(clock), OFFICE),
            lambda: accounts.sign_in("lin", lin.password, lin.code(clock), OFFICE),
        ]
        for each in tries:
            assert 0.6 < _cost(each) / one < 1.6


def _cost(call: Callable[[], object]) -> float:
    """The least processor time of two runs."""
    taken = []
    for _ in range(2):
        begin = time.thread_time()
        with suppress(NotSignedIn, TooMany):
            call()
        taken.append(time.thread_time() - begin)
    return min(taken)


def test_over_the_budget_nothing_is_hashed(tmp_path: Path, clock: Clock) -> None:
    dear = Cost(memory=32 * 1024, passes=3, lanes=1)
    with closing(store(tmp_path, clock, dear)) as accounts:
        for _ in range(5):
            with pytest.raises(NotSignedIn):
                accounts.sign_in("nobody", "wrong password!", "000000", ELSEWHERE)
        with pytest.raises(TooMany, match=r"请在 5 秒后再试"):
            accounts.sign_in("nobody", PASSWORD, "000000", "203.0.113.99")
        taken = _cost(lambda: accounts.sign_in("nobody", PASSWORD, "000000", ELSEWHERE))
        assert taken < 0.2 * _cost(lambda: Passwords(dear).hash("x" * 16))


@pytest.mark.parametrize(("at", "is_taken"), [(-61, False), (-30, True), (0, True), (30, True), (61, False)])
def test_the_window_is_one_step(accounts: Accounts, owner: Owner, clock: Clock, at: int, is_taken: bool) -> None:
    clock.forward(minutes=5)
    code = rfc6238(owner.secret, clock.now.timestamp() + at)
    if is_taken:
        assert accounts.sign_in("lin", PASSWORD, code, OFFICE)
    else:
        with pytest.raises(NotSignedIn):
            accounts.sign_in("lin", PASSWORD, code, OFFICE)


def test_a_code_counts_once_and_none_before_it(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    clock.forward(minutes=5)
    now = clock.now.timestamp()
    accounts.sign_in("lin", PASSWORD, rfc6238(owner.secret, now + 30), OFFICE)
    for at in (30, 0, -30):
        with pytest.raises(NotSignedIn):
            accounts.sign_in("lin", PASSWORD, rfc6238(owner.secret, now + at), OFFICE)
    clock.forward(seconds=60)
    full_width = rfc6238(owner.secret, now + 60).translate({ord("0") + n: 0xFF10 + n for n in range(10)})
    assert accounts.sign_in("lin", PASSWORD, f" {full_width[:3]} {full_width[3:]} ", OFFICE)


def test_the_code_of_the_enrolment_signs_nobody_in(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    with pytest.raises(NotSignedIn):
        accounts.sign_in("lin", PASSWORD, rfc6238(owner.secret, clock.now.timestamp()), OFFICE)


def test_a_wrong_password_uses_no_code_up(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    code = owner.code(clock)
    for second in (code, owner.recovery[0]):
        with pytest.raises(NotSignedIn):
            accounts.sign_in("lin", "wrong password!", second, OFFICE)
    assert accounts.sign_in("lin", PASSWORD, code, OFFICE)
    assert accounts.sign_in("lin", PASSWORD, owner.recovery[0], OFFICE)


def test_recovery_codes_count_once_each(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    for code in owner.recovery:
        typed = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
        session = accounts.session(accounts.sign_in("lin", PASSWORD, typed, OFFICE))
        assert session is not None
        assert session.factors == "password+recovery"
        with pytest.raises(NotSignedIn):
            accounts.sign_in("lin", PASSWORD, code, OFFICE)
    assert accounts.accounts()[0].recovery_codes == 0


def test_anothers_recovery_code_is_none(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    other = enrolled(accounts, clock, "wuke", THIRD)
    with pytest.raises(NotSignedIn):
        accounts.sign_in("lin", PASSWORD, other.recovery[0], OFFICE)
    assert accounts.sign_in("wuke", PASSWORD, other.recovery[0], OFFICE)


def _race(path: str, code: str, ready: object, won: object) -> None:
    """In a process of its own: sign in at the same moment as another."""
    accounts = Accounts(Path(path) / "accounts.db", KEY, Clock(), CHEAP)
    ready.wait()  # type: ignore[attr-defined]
    try:
        won.put(bool(accounts.sign_in("lin", PASSWORD, code, OFFICE)))  # type: ignore[attr-defined]
    except NotSignedIn:
        won.put(False)  # type: ignore[attr-defined]


@pytest.mark.parametrize("second", ["recovery", "totp"])
def test_two_processes_with_one_code_exactly_one_wins(tmp_path: Path, second: str) -> None:
    before = Clock()
    before.forward(seconds=-60)
    with closing(store(tmp_path, before)) as accounts:
        owner = enrolled(accounts, before)
    processes = multiprocessing.get_context("spawn")
    codes = owner.recovery[:2] if second == "recovery" else [rfc6238(owner.secret, Clock().now.timestamp())]
    for code in codes:
        ready, won = processes.Barrier(2), processes.Queue()
        both = [processes.Process(target=_race, args=(str(tmp_path), code, ready, won)) for _ in range(2)]
        for one in both:
            one.start()
        assert sorted(won.get(timeout=30) for _ in both) == [False, True]
        for one in both:
            one.join()
        won.close()


def test_two_processes_make_one_file(tmp_path: Path) -> None:
    processes = multiprocessing.get_context("spawn")
    ready, done = processes.Barrier(4), processes.Queue()
    several = [processes.Process(target=_make, args=(str(tmp_path), ready, done)) for _ in range(4)]
    for one in several:
        one.start()
    assert [done.get(timeout=30) for _ in several] == ["made"] * 4
    for one in several:
        one.join()
    done.close()


def _make(path: str, ready: object, done: object) -> None:
    ready.wait()  # type: ignore[attr-defined]
    try:
        store(Path(path), Clock()).enrol(CLERK, by=CHIEF, alone=True)
        done.put("made")  # type: ignore[attr-defined]
    except Exception as error:  # noqa: BLE001  told to the test
        done.put(repr(error))  # type: ignore[attr-defined]


# closing, resetting, forgetting


def test_a_closed_account_is_out_at_once_and_may_come_back(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    token = signs_in(accounts, owner, clock)
    other = accounts.open_session(CLERK, None)
    accounts.disable("LIN")
    assert accounts.session(token) is None
    assert accounts.session(other) is not None, "only the account's own sessions end"
    with pytest.raises(NotSignedIn):
        signs_in(accounts, owner, clock)
    assert [one.disabled for one in accounts.accounts()] == [True]
    accounts.enable("lin")
    assert signs_in(accounts, owner, clock)


def test_a_reset_destroys_every_factor_and_keeps_the_name(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    tokens = [signs_in(accounts, owner, clock), accounts.open_session(CLERK, None)]
    lost = accounts.reset("lin", by=CHIEF, alone=True)
    assert [accounts.session(one) for one in tokens] == [None, None]
    assert accounts.actor_of("lin") == CLERK
    for second in (owner.code(clock), owner.recovery[0]):
        with pytest.raises(NotSignedIn):
            accounts.sign_in("lin", PASSWORD, second, OFFICE)
    with pytest.raises(WrongState, match="已被使用"):
        accounts.begin_enrolment(accounts.enrol(THIRD, by=CHIEF, alone=True), "lin", PASSWORD, OFFICE)
    code = accounts.reset("lin", by=CHIEF, alone=True)
    with pytest.raises(EnrolmentRefused):
        accounts.begin_enrolment(lost, "lin", PASSWORD, OFFICE)
    with pytest.raises(WrongState, match="沿用"):
        accounts.begin_enrolment(code, "xin", PASSWORD, OFFICE)
    made = accounts.begin_enrolment(code, "lin", PASSWORD, OFFICE)
    accounts.confirm_enrolment(made.token, rfc6238(made.secret, clock.now.timestamp()))
    with pytest.raises(NotSignedIn):
        signs_in(accounts, owner, clock)
    assert signs_in(accounts, owner._replace(secret=made.secret), clock)


def test_one_person_may_have_several_accounts(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    second = enrolled(accounts, clock, "lin2")
    sessions = [accounts.session(signs_in(accounts, one, clock)) for one in (owner, second)]
    assert {one.actor for one in sessions if one} == {CLERK}
    assert {one.login for one in accounts.sessions(CLERK)} == {"lin", "lin2"}


def test_forgetting_leaves_nothing_of_an_actor(accounts: Accounts, clock: Clock, tmp_path: Path) -> None:
    enrolled(accounts, clock, "wuke", THIRD)
    gone = enrolled(accounts, clock, "hua-li", HOLDER)
    signs_in(accounts, gone, clock)
    accounts.enrol(HOLDER, by=CHIEF, alone=True)
    accounts.link("https://idp.example", "s-1", HOLDER, by=CHIEF)
    accounts.make_api_key(HOLDER, "手机", [Permission.READ_OWN], clock.now.replace(month=6))
    for _ in range(2):
        accounts.forget(HOLDER)
    assert [one.login for one in accounts.accounts()] == ["wuke"]
    for file in tmp_path.iterdir():
        assert b"hua-li" not in file.read_bytes(), file
        assert HOLDER.encode() not in file.read_bytes(), file
    with pytest.raises(BadInput):
        accounts.forget("")


def test_nobody_by_that_name(accounts: Accounts, owner: Owner) -> None:
    reset = partial(accounts.reset, by=CHIEF, alone=True)
    for call in (accounts.disable, accounts.enable, accounts.actor_of, reset):
        with pytest.raises(NotFound, match="nobody"):
            call("nobody")


# the command line


def _accounts(cli: Cli, *args: str, officer: str = CHIEF) -> tuple[str, ...]:
    return ("accounts", *args, "--officer", officer)


def test_an_approver_sets_up_closes_and_resets(cli: Cli) -> None:
    made = cli.data(*_accounts(cli, "enrol", CLERK))
    assert made["actor"] == CLERK
    assert len(made["code"]) == 23
    [waiting] = cli.data(*_accounts(cli, "list"))
    assert (waiting["actor"], waiting["state"], waiting["made_by"]) == (CLERK, "waits for a second approver", CHIEF)
    assert made["code"] not in str(waiting)
    cli.refused(*_accounts(cli, "disable", "lin"), code="not-found", says="lin")
    cli.refused(*_accounts(cli, "reset", "lin"), code="not-found", says="lin")
    assert cli.data(*_accounts(cli, "sessions", CLERK)) == []
    assert cli.data(*_accounts(cli, "end-sessions", CLERK)) == {"actor": CLERK, "ended": 0}
    mode = (cli.folder / "data" / "accounts.db").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_nobody_alone_sets_up_a_colleagues_account(accounts: Accounts, clock: Clock) -> None:
    """Whoever holds a colleague's code could act as both, so a second approver countersigns it."""
    code = accounts.enrol(CLERK, by=CHIEF, alone=False)
    with pytest.raises(EnrolmentRefused, match="第二名批准人"):
        accounts.begin_enrolment(code, "lin", PASSWORD, OFFICE)
    with pytest.raises(NeedsSecondOfficer):
        accounts.countersign(CLERK, by=CHIEF)
    with pytest.raises(NotFound):
        accounts.countersign(THIRD, by=CHIEF)
    assert [one.counts for one in accounts.waiting()] == [False]
    accounts.countersign(CLERK, by=THIRD)
    assert [(one.counts, one.countersigned_by) for one in accounts.waiting()] == [(True, THIRD)]
    made = accounts.begin_enrolment(code, "lin", PASSWORD, OFFICE)
    accounts.confirm_enrolment(made.token, rfc6238(made.secret, clock.now.timestamp()))
    again = accounts.reset("lin", by=THIRD, alone=False)
    with pytest.raises(EnrolmentRefused):
        accounts.begin_enrolment(again, "lin", PASSWORD, OFFICE)
    clock.forward(hours=72, seconds=1)
    with pytest.raises(NotFound):
        accounts.countersign(CLERK, by=CHIEF)


def test_a_second_approver_countersigns_on_the_command_line(cli: Cli) -> None:
    said = cli.ok(*_accounts(cli, "enrol", CLERK))
    assert "countersign" in said.stderr
    cli.refused(*_accounts(cli, "countersign", CLERK), code="needs-second-officer", says="另一名")
    cli.refused(*_accounts(cli, "countersign", CLERK, officer=CLERK), code="forbidden", says="本人")
    [waiting] = cli.data(*_accounts(cli, "list"))
    assert waiting["state"] == "waits for a second approver"
    cli.ok(*_accounts(cli, "countersign", CLERK, officer=THIRD))
    [waiting] = cli.data(*_accounts(cli, "list"))
    assert waiting["state"] == "code given out"


def test_nobody_manages_their_own_account_or_without_the_role(cli: Cli) -> None:
    cli.refused(*_accounts(cli, "enrol", CHIEF), code="forbidden", says="本人")
    cli.refused(*_accounts(cli, "enrol", CLERK, officer="nobody"), code="forbidden", says="权限")
    cli.refused(*_accounts(cli, "list", officer="nobody"), code="forbidden", says="权限")
    cli.refused(*_accounts(cli, "enrol", "stranger"), code="not-found", says="stranger")
    cli.refused(*_accounts(cli, "enrol", HOLDER), code="not-found", says="")


def test_a_county_manages_its_own(cli: Cli) -> None:
    people = "".join(f"{one},样例{n},{_number(n)}\n" for n, one in enumerate(("qingtian-1", "qingtian-2", "new-1"), 1))
    cli.ok("officers", "register", "-", "--officer", CHIEF, input=people)
    for who in ("qingtian-1", "qingtian-2"):
        over = ("--authority", "331121", "--document", "授〔2026〕1号")
        told = cli.data("officers", "propose", who, "approver", *over, "--officer", CHIEF)
        cli.ok("officers", "approve", told["grant"], "--digest", told["digest"], "--yes", "--officer", THIRD)
    cli.ok(*_accounts(cli, "enrol", "qingtian-2", officer="qingtian-1"))
    cli.ok(*_accounts(cli, "enrol", "new-1"))
    assert {one["actor"] for one in cli.data(*_accounts(cli, "list"))} == {"qingtian-2", "new-1"}
    assert {one["actor"] for one in cli.data(*_accounts(cli, "list", officer="qingtian-1"))} == {"qingtian-2"}
    for beyond in (CLERK, "new-1"):
        cli.refused(*_accounts(cli, "enrol", beyond, officer="qingtian-1"), code="forbidden", says="权限")


def _number(n: int) -> str:
    from tests.people import identity_number

    return identity_number(60_000 + n)


def test_links_to_a_provider(cli: Cli) -> None:
    at = ("--issuer", "https://idp.example", "--subject", "s-1")
    for _ in range(2):
        cli.ok(*_accounts(cli, "link", CLERK, *at))
    cli.refused(*_accounts(cli, "link", THIRD, *at), code="wrong-state", says="另一人")
    [link] = cli.data(*_accounts(cli, "list"))
    assert (link["actor"], link["issuer"], "s-1" in str(link)) == (CLERK, "https://idp.example", False)
    cli.refused(*_accounts(cli, "unlink", link["link"], officer=CLERK), code="forbidden", says="本人")
    cli.ok(*_accounts(cli, "unlink", link["link"]))
    cli.refused(*_accounts(cli, "unlink", link["link"]), code="not-found")


def test_api_keys_on_the_command_line(cli: Cli) -> None:
    made = cli.data("accounts", "api-key", "create", "夜间核对", "--right", "read-titles", "--days", "30")
    assert made["key"].startswith("tr_")
    [kept] = cli.data("accounts", "api-key", "list")
    assert (kept["name"], kept["rights"], kept["used_on"]) == ("夜间核对", ["read-titles"], None)
    assert made["key"] not in str(kept)
    cli.usage("accounts", "api-key", "create", "x", "--right", "host", says="none of")
    cli.usage("accounts", "api-key", "create", "x", "--right", "award", "--days", "366", says="365")
    cli.refused("accounts", "api-key", "revoke", kept["key"], "--officer", "nobody", code="forbidden")
    assert [one["key"] for one in cli.data("accounts", "api-key", "list", "--of", CLERK, "--officer", CHIEF)] == [
        kept["key"]
    ]
    cli.ok("accounts", "api-key", "revoke", kept["key"])
    assert cli.data("accounts", "api-key", "list") == []
    cli.refused("accounts", "api-key", "revoke", kept["key"], code="not-found")
