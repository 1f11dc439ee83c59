"""Compare what is kept with what was rebuilt: two sorted rows of rows, side by side, in flat memory."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from registry.audit.findings import Code, Finding, Findings
from registry.audit.layout import IDENTITY, ROWS
from registry.audit.order import Order
from registry.audit.scratch import Scratch
from registry.register import tables

Keyed = tuple[Any, tuple[Any, ...]]
"""A key and the values that belong to it."""

NAMES = "names"
KEY_COLUMNS = {"titles": 1, "proposals": 1, "papers": 1, "names": 2}


def side_by_side(expected: Iterable[Keyed], found: Iterable[Keyed]) -> Iterator[tuple[Any, Any, Any]]:
    """Yield (key, expected values, found values) wherever the two differ; None where there are none."""
    left, right = iter(expected), iter(found)
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[0] < other[0]):
            assert one is not None
            yield one[0], one[1], None
            one = next(left, None)
        elif one is None or other[0] < one[0]:
            yield other[0], None, other[1]
            other = next(right, None)
        else:
            if one[1] != other[1]:
                yield one[0], one[1], other[1]
            one, other = next(left, None), next(right, None)


def check_links(scratch: Scratch, findings: Findings) -> None:
    """Every stream that a state names exists."""
    for stream, target in scratch.missing_links():
        findings.add(Finding(code=Code.LINK, message="所指的流不存在", stream=stream, expected=target))


def counts_of(scratch: Scratch, order: Order) -> dict[str, int]:
    """How many events, streams, claims (without those of identity) and rows of each table there are."""
    claims = scratch.count_claims(scratch.scopes() - {IDENTITY})
    counts = {"events": order.size, "streams": scratch.count("streams"), "claims": claims}
    return counts | {table: scratch.count(table) for table in ROWS}


def compare_claims(scratch: Scratch, kept: Iterable[Keyed], findings: Findings, *, identity: bool) -> None:
    """Compare the kept claims, in order of scope and key, with the rebuilt ones; those of identity if so told."""
    scopes = scratch.scopes() - (set() if identity else {IDENTITY})
    for key, expected, found in side_by_side(_rebuilt_claims(scratch, scopes, findings), kept):
        findings.add(_claim(key, expected, found, scratch))


def _rebuilt_claims(scratch: Scratch, scopes: Iterable[str], findings: Findings) -> Iterator[Keyed]:
    for key, stream, holders in scratch.claims(scopes):
        if holders > 1:
            findings.add(
                Finding(
                    code=Code.CLAIM_CONFLICT, message="同一占用属于几个流", stream=stream[0], field=_claim_name(key)
                )
            )
        yield key, stream


def _claim(key: tuple[str, str], expected: tuple[str] | None, found: tuple[str] | None, scratch: Scratch) -> Finding:
    if expected is None and found is not None:
        erased = key[0] == IDENTITY and scratch.erased(found[0])
        code = Code.ERASURE if erased else Code.CLAIM_EXTRA
        message = "数据密钥已销毁，证件索引仍在" if erased else "存在没有事实依据的占用"
    elif found is None:
        code, message = Code.CLAIM_MISSING, "事实要求的占用不存在"
    else:
        code, message = Code.CLAIM_DIFFERS, "占用属于另一个流"
    stream = (found or expected or ("",))[0]
    values: dict[str, Any] = {"expected": expected[0] if expected else None, "found": found[0] if found else None}
    return Finding(code=code, message=message, stream=stream, field=_claim_name(key), **values)


def _claim_name(key: tuple[str, str]) -> str:
    """The claim for people; an identity claim is named without its index."""
    return key[0] if key[0] == IDENTITY else f"{key[0]} {key[1]}"


def compare_rows(scratch: Scratch, table: str, kept: Iterable[msgspec.Struct], findings: Findings) -> None:
    """Compare the rows of one table of the register, in order of their columns, with the rebuilt ones."""
    width = KEY_COLUMNS[table]
    expected = ((row[:width], row[width:]) for row in scratch.rows(table))
    found = ((row[:width], row[width:]) for row in map(msgspec.structs.astuple, kept))
    for key, wanted, present in side_by_side(expected, found):
        findings.add(_difference(table, key, wanted, present, scratch))


def _difference(table: str, key: Any, expected: Any, found: Any, scratch: Scratch) -> Finding:
    stream = key[0].partition(".")[0]
    place: dict[str, Any] = {"table": table, "stream": stream}
    if expected is None:
        if table == NAMES and scratch.erased(stream):
            return Finding(code=Code.ERASURE, message="数据密钥已销毁，姓名仍在登记簿中", **place)
        return Finding(code=Code.ROW_EXTRA, message="登记簿中有事件没有记载的一行", **place)
    if found is None:
        return Finding(code=Code.ROW_MISSING, message="登记簿中缺少一行", **place)
    fields = tables.TABLES[table][0].__struct_fields__[KEY_COLUMNS[table] :]
    field, wanted, present = next(
        (field, one, other) for field, one, other in zip(fields, expected, found, strict=True) if one != other
    )
    if table != NAMES:  # names are not shown in a report
        place |= {"expected": str(wanted), "found": str(present)}
    return Finding(code=Code.ROW_DIFFERS, message=f"登记簿与事件不符：{field}", field=field, **place)
