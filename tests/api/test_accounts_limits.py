"""Limits: guessing is slow, nobody locks anybody out, an office behind one address works on."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.signin.accounts import Accounts
from api.signin.attempts import place
from api.signin.limits import DEFAULTS, Config, Limits, Rate, Rates
from api.signin.refusals import NotSignedIn, TooMany
from tests.api.accounts import OFFICE, PASSWORD, Owner, enrolled, signs_in, store
from tests.people import THIRD, Clock

# tries at a sign-in


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


def guess(accounts: Accounts, address: str, login: str = "lin", device: str | None = None) -> int:
    """One wrong try; return how many seconds one was told to wait, 0 if it was looked at."""
    try:
        accounts.sign_in(login, "wrong password!", "000000", address, device)
    except TooMany as refused:
        return refused.retry_after
    except NotSignedIn:
        return 0
    raise AssertionError("a wrong password signed somebody in")


def attacked(accounts: Accounts, login: str = "lin") -> int:
    """Guess from very many networks until told to wait; return how many guesses were looked at."""
    for n in range(1000):
        if guess(accounts, f"10.{n // 250}.{n % 250}.1", login):
            return n
    raise AssertionError("never told to wait")


def test_each_wait_is_twice_as_long(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    waits = []
    for _ in range(5):
        assert guess(accounts, OFFICE) == 0
    for _ in range(9):
        waits.append(guess(accounts, OFFICE))
        clock.forward(seconds=waits[-1] - 1)
        assert guess(accounts, OFFICE) == 1
        clock.forward(seconds=1)
        assert guess(accounts, OFFICE) == 0
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 900]


def test_hammering_does_not_make_it_longer(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    for _ in range(5):
        guess(accounts, OFFICE)
    assert {guess(accounts, OFFICE) for _ in range(200)} == {5}
    clock.forward(seconds=5)
    assert guess(accounts, OFFICE) == 0


def test_a_name_that_is_nobodys_is_counted_alike(accounts: Accounts, owner: Owner) -> None:
    said = {login: [guess(accounts, OFFICE, login) for _ in range(7)] for login in ("lin", "nobody", " NOBODY2 ")}
    assert len({tuple(waits) for waits in said.values()}) == 1


def test_guesses_from_everywhere_are_counted_together(accounts: Accounts, owner: Owner) -> None:
    assert attacked(accounts) == 100
    assert attacked(accounts, "nobody") == 100


def test_an_attack_from_everywhere_does_not_stop_the_owner(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    """Neither at a network they signed in from before, nor anywhere with the device's cookie."""
    device = accounts.device(signs_in(accounts, owner, clock))
    for wait in (30, 60, 120):
        attacked(accounts)
        assert guess(accounts, "198.51.100.1") == wait
        clock.forward(seconds=wait)
    assert signs_in(accounts, owner, clock, "192.0.2.77")
    assert signs_in(accounts, owner, clock, "198.51.100.2", device)
    attacked(accounts)
    with pytest.raises(TooMany):
        signs_in(accounts, owner, clock, "198.18.0.3")


def test_a_colleague_at_the_next_desk_does_not_stop_the_owner(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    device = accounts.device(signs_in(accounts, owner, clock))
    for n in range(300):
        guess(accounts, OFFICE, f"guess{n % 3}")
        guess(accounts, OFFICE)
    assert guess(accounts, OFFICE) > 0
    assert signs_in(accounts, owner, clock, OFFICE, device)


def test_a_device_has_a_budget_of_its_own(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    token = signs_in(accounts, owner, clock)
    stolen, other = accounts.device(token), accounts.device(token)
    assert stolen != other
    for n in range(10):
        assert guess(accounts, f"10.0.{n}.1", device=stolen) == 0
    assert guess(accounts, "10.9.9.9", device=stolen) == 5
    assert signs_in(accounts, owner, clock, "198.51.100.1", other)


def test_a_device_of_another_account_or_a_made_up_one_counts_for_nothing(
    accounts: Accounts, owner: Owner, clock: Clock
) -> None:
    other = enrolled(accounts, clock, "wuke", THIRD)
    device = accounts.device(signs_in(accounts, other, clock))
    code = owner.code(clock)
    attacked(accounts)
    for made_up in (device, "", ".", "x.y", "é.é", f"{device}0", "a" * 5000):
        with pytest.raises(TooMany):
            accounts.sign_in("lin", PASSWORD, code, "198.51.100.1", made_up)
    assert accounts.device("no session") is None
    assert accounts.device(accounts.open_session(THIRD, None)) is None


@pytest.mark.parametrize("proxy", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_behind_a_proxy_that_tells_no_address(accounts: Accounts, owner: Owner, clock: Clock, proxy: str) -> None:
    """Everybody seems to come from one place: one account's guesses are not another's, and its device goes on."""
    device = accounts.device(signs_in(accounts, owner, clock, proxy))
    for n in range(400):
        assert guess(accounts, proxy, f"victim{n}") == 0
    for _ in range(5):
        assert guess(accounts, proxy) == 0
    assert guess(accounts, proxy) == 5
    assert signs_in(accounts, owner, clock, proxy, device)
    other = enrolled(accounts, clock, "wuke", THIRD)
    assert signs_in(accounts, other, clock, proxy)


def test_a_cookie_from_before_a_reset_counts_for_nothing(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    device = accounts.device(signs_in(accounts, owner, clock))
    accounts.reset("lin", by=THIRD, alone=True)
    attacked(accounts)
    assert guess(accounts, "198.51.100.1", device=device) == 30


def test_an_office_behind_one_address_signs_in_on_monday(accounts: Accounts, clock: Clock) -> None:
    """60 people, each of whom mistypes once, within two minutes."""
    people = [enrolled(accounts, clock, f"clerk{n}", f"clerk-{n}") for n in range(60)]
    clock.forward(seconds=30)
    for n, one in enumerate(people):
        assert guess(accounts, OFFICE, one.login) == 0
        assert accounts.sign_in(one.login, PASSWORD, one.code(clock) if n % 30 == 0 else one.recovery[0], OFFICE)


def test_one_success_does_not_excuse_an_attack_from_the_same_network(
    accounts: Accounts, owner: Owner, clock: Clock
) -> None:
    for n in range(119):
        assert guess(accounts, OFFICE, f"victim{n}") == 0
    accounts.sign_in("lin", PASSWORD, owner.recovery[0], OFFICE)
    assert guess(accounts, OFFICE, "victim119") == 0
    assert guess(accounts, OFFICE, "victim120") > 0


def test_time_excuses(accounts: Accounts, owner: Owner, clock: Clock) -> None:
    for _ in range(5):
        guess(accounts, OFFICE)
    assert guess(accounts, OFFICE) == 5
    clock.forward(hours=2)
    assert [guess(accounts, OFFICE) for _ in range(3)] == [0, 0, 5]


# places


@pytest.mark.parametrize(
    ("address", "host", "network"),
    [
        ("192.0.2.77", "192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("2001:0db8:0001:0002::9", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/64", "fe80::/48"),
        ("unknown", "unknown", "unknown"),
        ("", "", ""),
    ],
)
def test_where_somebody_asks_from(address: str, host: str, network: str) -> None:
    assert place(address) == (host, network)


# requests

ONE = Rate(2, 5)
WIDE = Rate(1e6, 1_000_000)


def limits_of(address: Rate = WIDE, network: Rate = WIDE, account: Rate = WIDE, most: int = 1000) -> Limits:
    return Limits(Config({"public": Rates(address, network, account)}, most))


def test_a_burst_then_the_rate() -> None:
    limits = limits_of(ONE)
    assert [limits.take("public", OFFICE, now=0.0) for _ in range(5)] == [None] * 5
    assert limits.take("public", OFFICE, now=0.0) == pytest.approx(0.5)
    assert limits.take("public", OFFICE, now=0.5) is None
    assert limits.take("public", OFFICE, now=0.5) == pytest.approx(0.5)
    assert [limits.take("public", OFFICE, now=100.0) for _ in range(5)] == [None] * 5
    assert limits.take("public", OFFICE, now=100.0) is not None


def test_another_host_network_account_and_kind_are_not_concerned() -> None:
    rates = Rates(ONE, Rate(2, 8), Rate(1, 2))
    limits = Limits(Config({"public": rates, "sign-in": rates}))
    for _ in range(5):
        limits.take("public", "192.0.2.1", now=0.0)
    assert limits.take("public", "192.0.2.1", now=0.0)
    assert [limits.take("public", "192.0.2.2", now=0.0) for _ in range(3)] == [None] * 3
    assert limits.take("public", "192.0.2.3", now=0.0), "the network is used up"
    assert limits.take("sign-in", "192.0.2.1", now=0.0) is None
    assert [limits.take("public", f"10.0.{n}.1", "clerk-01", now=0.0) is None for n in range(3)] == [True, True, False]
    assert limits.take("public", "10.0.9.1", "clerk-02", now=0.0) is None


def test_what_is_refused_takes_nothing_out() -> None:
    limits = limits_of(ONE, network=Rate(1, 1000))
    for _ in range(900):
        limits.take("public", "192.0.2.1", now=0.0)
    assert [limits.take("public", f"192.0.2.{n}", now=0.0) for n in range(2, 200)] == [None] * 198


@given(
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(0, 3)), max_size=200),
    rate=st.floats(0.1, 20),
    burst=st.integers(1, 10),
)
@settings(max_examples=200, deadline=None)
def test_never_more_than_the_rate_and_never_told_to_wait_in_vain(
    steps: list[tuple[float, int]], rate: float, burst: int
) -> None:
    limits, now = limits_of(Rate(rate, burst)), 1e6
    passed: dict[str, list[float]] = {}
    for pause, host in steps:
        now += pause
        address = f"192.0.2.{host}"
        wait = limits.take("public", address, now=now)
        if wait is not None:
            assert wait <= 1 / rate + 1e-6, "there is always room for one a little later"
            now += wait + 1e-9
            assert limits.take("public", address, now=now) is None
        passed.setdefault(address, []).append(now)
    for times in passed.values():
        for first in range(len(times)):
            for last in range(first, len(times)):
                assert last - first + 1 <= burst + (times[last] - times[first]) * rate + 1e-3


@given(st.lists(st.tuples(st.floats(0, 0.2), st.integers(0, 10_000)), min_size=300, max_size=600))
@settings(max_examples=20, deadline=None)
def test_memory_is_bounded_and_who_is_worst_is_remembered(steps: list[tuple[float, int]]) -> None:
    limits, now = limits_of(Rate(0.01, 3), most=100), 0.0
    for _ in range(3):
        assert limits.take("public", "203.0.113.1", now=now) is None
    for pause, n in steps:
        now += pause
        limits.take("public", f"10.{n // 250}.{n % 250}.1", now=now)
        assert len(limits) <= 100
    if now < 95:
        assert limits.take("public", "203.0.113.1", now=now) is not None


def test_an_office_and_a_hall_of_counters_never_meet_the_defaults() -> None:
    limits = Limits()
    for n in range(5_000):
        assert limits.take("public", OFFICE, now=n / 1000) is None, "500 people, ten requests each, in five seconds"
    for n in range(3_000):
        assert limits.take("public", "198.51.100.9", now=n / 50) is None, "50 verifications a second for a minute"
    for n in range(200):
        assert limits.take("sign-in", OFFICE, now=float(n)) is None, "200 people in three minutes"
    assert set(DEFAULTS) == {"public", "sign-in", "inside"}
