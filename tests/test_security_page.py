"""docs/security.md is held to the tests: every requirement stands once, and every test that is named is there."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "security.md").read_text()
# The requirements of levels 1 and 2 of OWASP ASVS 5.0.0: each section with its last number of these levels, as all of
# them begin at 1 and leave none out.
SECTIONS = """
1.1:2 1.2:9 1.3:11 1.4:3 1.5:2   2.1:3 2.2:3 2.3:4 2.4:1   3.2:2 3.3:4 3.4:6 3.5:5 3.7:2   4.1:3 4.2:1 4.3:2 4.4:4
5.1:1 5.2:3 5.3:2 5.4:3   6.1:3 6.2:12 6.3:4 6.4:4 6.5:5 6.6:3 6.8:4   7.1:3 7.2:4 7.3:2 7.4:5 7.5:2 7.6:2
8.1:2 8.2:3 8.3:1 8.4:1   9.1:3 9.2:4   10.1:2 10.2:2 10.3:4 10.4:11 10.5:5 10.6:2 10.7:3
11.1:2 11.2:3 11.3:3 11.4:4 11.5:1 11.6:1   12.1:3 12.2:2 12.3:4   13.1:1 13.2:5 13.3:2 13.4:5   14.1:2 14.2:4 14.3:3
15.1:3 15.2:3 15.3:7   16.1:1 16.2:5 16.3:4 16.4:3 16.5:3   17.1:1 17.2:4 17.3:2
"""
REQUIRED = [
    f"V{section}.{number}"
    for section, last in (one.split(":") for one in SECTIONS.split())
    for number in range(1, int(last) + 1)
]
ROWS = re.findall(r"^\| (V[\d.]+) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)
NAMED = sorted(set(re.findall(r"`((?:[a-z_]+/)*test_\w+\.py)(?:::(\w+))?`", PAGE.replace("`tests/", "`"))))


def test_every_requirement_of_levels_1_and_2_stands_once() -> None:
    assert len(REQUIRED) == len(set(REQUIRED)) == 70 + 183, "the standard has 70 of level 1 and 183 of level 2"
    assert [number for number, _, _ in ROWS] == REQUIRED


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_test_that_is_named_exists(file: str, name: str) -> None:
    tree = ast.parse((TESTS / file).read_text())
    functions = {one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert not name or name in functions


def test_every_row_says_a_test_or_why_not() -> None:
    kinds = Counter[str]()
    for number, phrase, cell in ROWS:
        kind = re.match(r"(does not apply|open): \S", cell)
        assert kind or re.match(r"`\S+::test_\w+`", cell), f"{number} says neither a test nor a reason: {cell}"
        assert len(phrase) < 70, number
        kinds[kind[1] if kind else "held"] += 1
    held, out, still = kinds["held"], kinds["does not apply"], kinds["open"]
    assert f"{held} are held by tests, {out} do not apply, {still} are open" in PAGE
