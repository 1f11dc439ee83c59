"""Tiles and entry bundles, against the layout of C2SP tlog-tiles computed here by its definition."""

import hashlib
import random
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import CorruptHistory, Unavailable
from registry.proof.tiles import TileStore, resources, split_bundle, tile_path


def entry(index: int) -> bytes:
    return f"entry {index} ".encode() * (index % 3 + 1)


@cache
def mth(begin: int, end: int) -> bytes:
    """MTH(D[begin:end]) as RFC 6962 section 2.1 defines it."""
    if end - begin == 1:
        return hashlib.sha256(b"\x00" + entry(begin)).digest()
    half = 1
    while half * 2 < end - begin:
        half *= 2
    return hashlib.sha256(b"\x01" + mth(begin, begin + half) + mth(begin + half, end)).digest()


def expected(size: int) -> dict[str, bytes]:
    """Every resource of a log of that size, by the formula of the specification."""
    found = {}
    for number in range(-(-size // 256)):
        indexes = range(number * 256, min(size, number * 256 + 256))
        bundle = b"".join(len(entry(one)).to_bytes(2, "big") + entry(one) for one in indexes)
        found[_path("entries", number, len(indexes))] = bundle
    level = 0
    while size // 256**level:
        count = size // 256**level
        for number in range(-(-count // 256)):
            indexes = range(number * 256, min(count, number * 256 + 256))
            hashes = [mth(one * 256**level, (one + 1) * 256**level) for one in indexes]
            found[_path(str(level), number, len(hashes))] = b"".join(hashes)
        level += 1
    return found


def _path(kind: str, number: int, wide: int) -> str:
    text = f"{number:03}"
    text = text.zfill(-(-len(text) // 3) * 3)
    groups = [text[at : at + 3] for at in range(0, len(text), 3)]
    name = "/".join([*(f"x{one}" for one in groups[:-1]), groups[-1]])
    return f"tile/{kind}/{name}" + ("" if wide == 256 else f".p/{wide}")


def grown(folder: Path, *sizes: int) -> TileStore:
    """A store that was written to these sizes one after the other."""
    store, size = TileStore(folder), 0
    for wanted in sizes:
        store.write(size, [entry(one) for one in range(size, wanted)])
        size = wanted
    return store


def on_disk(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 513, 1000])
def test_what_lies_on_the_disk_is_what_the_specification_says(tmp_path: Path, size: int) -> None:
    grown(tmp_path, size)
    assert on_disk(tmp_path) == expected(size)
    assert sorted(resources(size)) == sorted(expected(size))


def test_the_example_of_the_specification_has_its_tiles(tmp_path: Path) -> None:
    """70,000 leaves: 273 full tiles and one of 112 at level 0, one and one of 17 at level 1, one of 1 at level 2."""
    grown(tmp_path, 70_000)
    found = on_disk(tmp_path)
    assert found == expected(70_000)
    assert sum(name.startswith("tile/0/") and ".p/" not in name for name in found) == 273
    assert {name for name in found if ".p/" in name} == {
        "tile/entries/273.p/112", "tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1",
    }  # fmt: skip


def test_numbers_are_written_in_groups_of_three() -> None:
    assert tile_path("1", 1_234_067) == "tile/1/x001/x234/067"
    assert tile_path("entries", 999, 5) == "tile/entries/999.p/5"
    assert tile_path("0", 1000) == "tile/0/x001/000"


@settings(max_examples=40)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=6))
def test_however_it_grew_the_tiles_are_the_same(tmp_path_factory: pytest.TempPathFactory, steps: list[int]) -> None:
    sizes = [sum(steps[: at + 1]) for at in range(len(steps))]
    folder = tmp_path_factory.mktemp("log")
    store = grown(folder, *sizes)
    size = sizes[-1]
    found = on_disk(folder)
    assert {name: found[name] for name in expected(size)} == expected(size)
    extra = set(found) - set(expected(size))  # partial tiles of the sizes before, until a full one is there
    assert all(".p/" in name and name.partition(".p/")[0] not in found for name in extra)
    for earlier in sizes:  # every earlier size can still be read to the byte
        assert {name: store.read(name) for name in expected(earlier)} == expected(earlier)
        assert list(store.entries(0, earlier, earlier)) == [entry(one) for one in range(earlier)]


def test_every_complete_subtree_can_be_read_at_every_size(tmp_path: Path) -> None:
    store = grown(tmp_path, 100, 700)
    for size in (1, 99, 100, 256, 300, 512, 700):
        node = store.reader(size)
        for level in range(10):
            for index in range(size >> level):
                assert node(level, index) == mth(index << level, (index + 1) << level)
            with pytest.raises(ValueError, match="no complete subtree"):
                node(level, size >> level)


def test_writing_again_after_a_crash_leaves_the_same_files(tmp_path: Path) -> None:
    store = grown(tmp_path, 300)
    before = on_disk(tmp_path)
    (tmp_path / "tile/0/001.p/44.new").write_bytes(b"cut off")
    store.write(200, [entry(one) for one in range(200, 300)])
    assert {name: data for name, data in on_disk(tmp_path).items() if not name.endswith(".new")} == before


@pytest.mark.parametrize(
    "path",
    [
        "checkpoint", "tile/0/2", "tile/0/0002", "tile/0/x000/002", "tile/00/002", "tile/64/002", "tile/0/002.p/0",
        "tile/0/002.p/256", "tile/0/002.p/01", "tile/0/002.p/300", "tile/entries/../checkpoint", "tile/0/002/",
        "tile/0/002.p/189", "tile/0/003", "tile/3/000", "tile/0/\u0660\u0660\u0662", "", "tile/0/002\n",
    ],
)  # fmt: skip
def test_no_other_path_is_answered(tmp_path: Path, path: str) -> None:
    assert grown(tmp_path, 700).read(path) is None


def test_a_missing_tile_is_named(tmp_path: Path) -> None:
    store = grown(tmp_path, 600)
    (tmp_path / "tile/0/001").unlink()
    with pytest.raises(Unavailable, match=r"tile/0/001 is missing"):
        TileStore(tmp_path).reader(600)(0, 300)
    assert store.reader(600)(0, 10) == mth(10, 11)


def test_a_cut_tile_or_bundle_is_refused(tmp_path: Path) -> None:
    grown(tmp_path, 600)
    bundle, tile = tmp_path / "tile/entries/000", tmp_path / "tile/0/000"
    bundle.write_bytes(bundle.read_bytes()[:-1])
    tile.write_bytes(tile.read_bytes()[:-1])
    with pytest.raises(CorruptHistory, match="is cut"):
        list(TileStore(tmp_path).entries(0, 10, 600))
    with pytest.raises(CorruptHistory, match="8191 bytes"):
        TileStore(tmp_path).reader(600)(0, 0)
    bundle.write_bytes(b"".join(len(entry(one)).to_bytes(2, "big") + entry(one) for one in range(255)))
    with pytest.raises(CorruptHistory, match="255 entries, 256 are needed"):
        list(TileStore(tmp_path).entries(0, 256, 600))


def test_an_entry_that_no_bundle_can_hold_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(CorruptHistory, match="65,535"):
        TileStore(tmp_path).write(0, [b"x" * 65_536])
    assert on_disk(tmp_path) == {}
    TileStore(tmp_path).write(0, [b"x" * 65_535])
    assert split_bundle((tmp_path / "tile/entries/000.p/1").read_bytes()) == [b"x" * 65_535]


def test_random_growth_over_many_tiles(tmp_path: Path) -> None:
    chance, sizes = random.Random(7), [0]
    while sizes[-1] < 20_000:
        sizes.append(sizes[-1] + chance.choice([1, 3, 256, 1000, 4096]))
    grown(tmp_path, *sizes[1:])
    found = on_disk(tmp_path)
    assert {name: found[name] for name in expected(sizes[-1])} == expected(sizes[-1])
