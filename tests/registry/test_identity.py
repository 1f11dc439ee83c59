"""Identity numbers as clerks receive them. All numbers are made up; the check is recomputed by another formula."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import BadIdentity, DoubtfulIdentity
from registry.holders.identity import born, index_key, mask, parse, sex
from registry.holders.person import Identity
from registry.terms import IdentityKind, Sex

DIGITS = "0123456789"


def holds(number: str) -> bool:
    """ISO 7064 MOD 11-2 as a congruence: the sum of a(i) * 2^(i-1) from the right is 1 modulo 11, X counting ten."""
    values = [10 if character == "X" else int(character) for character in number]
    return sum(value << place for place, value in enumerate(reversed(values))) % 11 == 1


def complete(first_17: str) -> str:
    """Find the check character by trying all eleven."""
    (number,) = (first_17 + check for check in "0123456789X" if holds(first_17 + check))
    return number


def wrong(number: str) -> str:
    """The same number with another check digit (never one that ends in 000)."""
    return number[:17] + next(check for check in "123456789" if check != number[17])


RESIDENT = complete("33112119850601123")
WITH_X = next(n for n in (complete(f"3311021990010{i:04d}") for i in range(1010, 2000)) if n.endswith("X"))
PERMIT = complete("81000019780924002")
PERMANENT = complete("91184019690720004")


def refused(raw: str, **options: object) -> BadIdentity:
    with pytest.raises(BadIdentity) as caught:
        parse(raw, **options)  # type: ignore[arg-type]
    assert caught.value.fix
    assert raw not in caught.value.message + caught.value.fix or not raw
    return caught.value


# --- what is accepted


def test_the_published_example_of_the_standard() -> None:
    """The example of the standard's explanation, 11010519491231002X, with the congruence and with our code."""
    assert holds("11010519491231002X")
    assert parse("11010519491231002x").number == "11010519491231002X"


@pytest.mark.parametrize(
    "written",
    [
        RESIDENT,
        f"  {RESIDENT}\t",
        f"'{RESIDENT}",
        f"{RESIDENT[:6]} {RESIDENT[6:14]} {RESIDENT[14:]}",
        f"{RESIDENT[:6]}-{RESIDENT[6:14]}－{RESIDENT[14:]}",
        "\u202a" + RESIDENT + "\u200b\ufeff",
        RESIDENT.translate({ord(d): ord(d) + 0xFEE0 for d in DIGITS}),
    ],
)
def test_ways_of_writing_one_resident_number(written: str) -> None:
    assert parse(written) == Identity(IdentityKind.RESIDENT_ID, RESIDENT)


def test_a_small_or_full_width_x_is_the_check_character() -> None:
    for x in ("x", "Ｘ", "ｘ", "X"):
        assert parse(WITH_X[:17] + x).number == WITH_X


def test_fifteen_digits_are_upgraded_and_kept_as_alias() -> None:
    old = "332501730412003"
    new = complete("33250119730412003")
    read = parse(old)
    assert read == Identity(IdentityKind.RESIDENT_ID, new, alias=old)
    assert index_key(read) == index_key(parse(new)) == f"resident_id||{new}"
    assert (born(read), sex(read)) == (date(1973, 4, 12), Sex.MALE)


def test_a_centenarian_sequence_code_proves_nothing_and_is_read_as_19xx() -> None:
    read = parse("332501050412998")
    assert read.number == complete("33250119050412998")
    assert (born(read), sex(read)) == (date(1905, 4, 12), Sex.FEMALE)


@pytest.mark.parametrize(
    ("number", "kind", "birth", "its_sex"),
    [
        (RESIDENT, IdentityKind.RESIDENT_ID, date(1985, 6, 1), Sex.MALE),
        (PERMIT, IdentityKind.RESIDENCE_PERMIT, date(1978, 9, 24), Sex.FEMALE),
        (complete("82000020011230035"), IdentityKind.RESIDENCE_PERMIT, date(2001, 12, 30), Sex.MALE),
        (complete("83000019990228044"), IdentityKind.RESIDENCE_PERMIT, date(1999, 2, 28), Sex.FEMALE),
        (PERMANENT, IdentityKind.PERMANENT_RESIDENCE, date(1969, 7, 20), Sex.FEMALE),
        ("USA330069072001", IdentityKind.PERMANENT_RESIDENCE, None, None),
        ("H01234567", IdentityKind.HOME_RETURN_PERMIT, None, None),
        ("m0123456701", IdentityKind.HOME_RETURN_PERMIT, None, None),
        ("01234567", IdentityKind.TAIWAN_PERMIT, None, None),
    ],
)
def test_recognised_without_being_told(
    number: str, kind: IdentityKind, birth: date | None, its_sex: Sex | None
) -> None:
    read = parse(number)
    assert read == parse(number, kind=kind) == Identity(kind, number.upper())
    assert (born(read), sex(read)) == (birth, its_sex)


def test_a_passport_only_when_told_and_with_its_country() -> None:
    read = parse(" e1234 5678 ", kind=IdentityKind.PASSPORT, country="jpn")
    assert read == Identity(IdentityKind.PASSPORT, "E12345678", country="JPN")
    other = parse("E12345678", kind=IdentityKind.PASSPORT, country="USA")
    assert index_key(read) != index_key(other)
    assert (born(read), sex(read)) == (None, None)


def test_the_country_column_of_other_documents_is_not_kept() -> None:
    assert parse(PERMANENT, country="DEU").country is None


def test_districts_that_were_abolished_or_never_listed_are_taken() -> None:
    for district in ("332501", "332523", "512222", "659999", "110103"):
        assert parse(complete(district + "19701231111")).number.startswith(district)


# --- doubtful: only the check character is wrong


def test_a_wrong_check_character_is_asked_about_and_never_repaired() -> None:
    doubtful = wrong(RESIDENT)
    with pytest.raises(DoubtfulIdentity, match="校验码") as caught:
        parse(doubtful)
    assert doubtful not in caught.value.message + caught.value.fix
    read = parse(doubtful, confirmed=True)
    assert read == Identity(IdentityKind.RESIDENT_ID, doubtful, confirmed=True)
    assert index_key(read) != index_key(parse(RESIDENT))


def test_a_right_number_needs_no_confirmation_and_is_not_marked() -> None:
    assert parse(RESIDENT, confirmed=True).confirmed is False


def test_confirming_does_not_let_an_impossible_number_through() -> None:
    assert refused("331121198506311234", confirmed=True).about["rule"] == "birth-date"


# --- refused


@pytest.mark.parametrize(
    "rounded",
    [
        "3.31E+17",
        "3.31102199001E+17",
        " ３.31e+17 ",
        "331102199001010000.0",
        "331102199001010000.",
        "331121198506011000",
        "331102197303050000",
    ],
)
def test_a_number_that_excel_rounded_is_named_as_such(rounded: str) -> None:
    for confirmed in (False, True):
        error = refused(rounded, confirmed=confirmed)
        assert error.about["rule"] == "spreadsheet"
        assert error.message.startswith("Excel 把号码存成了数字")


def test_a_real_number_may_end_in_three_zeros() -> None:
    real = next(n for n in (complete(f"33110219{y}0101100") for y in range(10, 99)) if n.endswith("000"))
    assert parse(real).number == real


@pytest.mark.parametrize(
    ("raw", "rule", "says"),
    [
        ("", "empty", "空的"),
        (" \u3000- ", "empty", "空的"),
        (RESIDENT[:-1], "length", "18位（旧号15位），这里是17位"),
        (RESIDENT + "1", "length", "这里是19位"),
        ("33112119850601", "length", "这里是14位"),
        ("33112119850601O23X", "character", "第15位是“O”"),
        ("3311211985060l1234", "character", "第14位是“L”"),
        ("X31121198506011234", "unknown-kind", "看不出"),
        ("3X1121198506011234", "character", "第2位是“X”"),
        ("33112185060X123", "character", "第12位是“X”"),
        ("331121198506011२34", "character", "第16位是“२”"),
        ("331121198513011234", "birth-date", "不是真实的日期"),
        ("331121198502301234", "birth-date", "不是真实的日期"),
        ("331121190002291234", "birth-date", "不是真实的日期"),
        ("331121000000001234", "birth-date", "不是真实的日期"),
        ("331121098506011234", "birth-date", "不是真实的日期"),
        ("331121850631123", "birth-date", "不是真实的日期"),
        ("001121198506011234", "region", "“00”"),
        ("701121198506011234", "region", "“70”"),
        ("张三", "unknown-kind", "看不出"),
        ("E12345678", "unknown-kind", "护照还须填写国别"),
        ("1234567", "unknown-kind", "看不出"),
        ("19850601", "looks-like-date", "像是出生日期"),
    ],
)
def test_each_impossible_number_has_its_own_refusal(raw: str, rule: str, says: str) -> None:
    error = refused(raw)
    assert error.about["rule"] == rule
    assert says in error.message + error.fix


@pytest.mark.parametrize(
    ("raw", "kind", "rule", "says"),
    [
        (PERMIT, IdentityKind.RESIDENT_ID, "kind", "却是港澳台居民居住证"),
        (PERMANENT, IdentityKind.RESIDENT_ID, "kind", "却是外国人永久居留身份证"),
        (RESIDENT, IdentityKind.RESIDENCE_PERMIT, "kind", "却是居民身份证"),
        (RESIDENT, IdentityKind.PERMANENT_RESIDENCE, "kind", "却是居民身份证"),
        ("332501730412003", IdentityKind.RESIDENCE_PERMIT, "length", "应为18位，这里是15位"),
        ("USA33006907200", IdentityKind.PERMANENT_RESIDENCE, "shape", "3个字母加12位数字"),
        ("A01234567", IdentityKind.HOME_RETURN_PERMIT, "shape", "H 或 M"),
        ("H012345678", IdentityKind.HOME_RETURN_PERMIT, "shape", "8位（旧证10位）"),
        ("0123456789", IdentityKind.TAIWAN_PERMIT, "shape", "应为8位数字"),
        ("E123", IdentityKind.PASSPORT, "shape", "5至20位"),
        ("E" * 21, IdentityKind.PASSPORT, "shape", "5至20位"),
        ("E12345/78", IdentityKind.PASSPORT, "shape", "5至20位"),
    ],
)
def test_a_number_that_is_not_of_the_kind_stated(raw: str, kind: IdentityKind, rule: str, says: str) -> None:
    error = refused(raw, kind=kind, country="USA")
    assert error.about["rule"] == rule
    assert says in error.message


@pytest.mark.parametrize("country", [None, "", "美国", "US", "USAA", "U2A"])
def test_a_passport_without_a_country_is_refused(country: str | None) -> None:
    assert refused("E12345678", kind=IdentityKind.PASSPORT, country=country).about["rule"] == "country"


def test_an_eight_digit_date_can_still_be_a_taiwan_permit_when_stated() -> None:
    assert parse("19850601", kind=IdentityKind.TAIWAN_PERMIT).number == "19850601"


def test_a_birth_date_after_today_is_refused() -> None:
    number = complete("33112120210602123")
    assert parse(number, today=date(2021, 6, 2)).number == number
    assert refused(number, today=date(2021, 6, 1)).about["rule"] == "future-birth"


# --- masking


@pytest.mark.parametrize(
    ("number", "kind", "masked"),
    [
        (
            complete("33250119730412003"),
            IdentityKind.RESIDENT_ID,
            "332501********003" + complete("33250119730412003")[17],
        ),
        ("332501730412003", None, "332501********003" + complete("33250119730412003")[17]),
        ("USA330069072001", None, "US**********001"),
        ("H01234567", None, "H******67"),
        ("M0123456701", None, "M********01"),
        ("01234567", None, "0*****67"),
        ("E1234", IdentityKind.PASSPORT, "E**34"),
    ],
)
def test_masks(number: str, kind: IdentityKind | None, masked: str) -> None:
    assert mask(parse(number, kind=kind, country="USA")) == masked


# --- always


residents = st.builds(
    lambda region, birth, order: complete(f"{region}{birth:%Y%m%d}{order:03d}"),
    st.integers(110000, 659999),
    st.dates(date(1900, 1, 1), date(2020, 12, 31)),
    st.integers(1, 999),
)


@given(residents)
def test_every_right_number_is_read_unchanged(number: str) -> None:
    read = parse(number)
    assert (read.number, read.alias, read.confirmed) == (number, None, False)
    birth = born(read)
    assert birth is not None
    assert f"{birth:%Y%m%d}" == number[6:14]
    assert (sex(read) is Sex.MALE) == (number[16] in "13579")


@given(residents, st.integers(0, 17), st.sampled_from(DIGITS))
def test_any_one_wrong_digit_is_noticed(number: str, place: int, digit: str) -> None:
    changed = number[:place] + digit + number[place + 1 :]
    if changed != number:
        with pytest.raises((BadIdentity, DoubtfulIdentity)):
            parse(changed)


@given(residents.filter(lambda number: number[6:8] == "19"))
def test_the_old_and_the_new_number_are_one_person(number: str) -> None:
    assert index_key(parse(number[:6] + number[8:17])) == index_key(parse(number))


@given(st.text(max_size=24), st.sampled_from([None, *IdentityKind]), st.booleans())
def test_any_text_is_read_or_refused(raw: str, kind: IdentityKind | None, confirmed: bool) -> None:
    try:
        read = parse(raw, kind=kind, country="USA", confirmed=confirmed)
    except (BadIdentity, DoubtfulIdentity):
        return
    assert parse(read.number, kind=read.kind, country="USA", confirmed=True).number == read.number
    shown = [place for place, character in enumerate(mask(read)) if character != "*"]
    assert len(shown) <= (10 if len(read.number) == 18 else 5)
