"""Measure what one title takes on the disk: fill a new registry with synthetic people, sequence it, and look.

    python -m deploy.scale.sizes [TITLES] [CERTIFICATES] [postgresql://...]

prints JSON, bytes an item. The figures of `costs` were copied from there. With the address of an empty schema the same
rows are put into PostgreSQL too, and measured there.
"""

import json
import sqlite3
import sys
import tempfile
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec

from api.bench.material import new_registry, write_list
from api.documents.delivery import proof_of
from api.documents.press import Press
from registry.answers.given import Channel
from registry.answers.log import AnswerLog
from registry.log.pgserver import connect, create
from registry.proof.leaf import leaf_entry
from registry.service import Registry

ANSWERS = 20_000


def measured(folder: Path, titles: int, certificates: int, url: str = "") -> dict[str, float]:
    """Bytes an item in a registry of that many titles (each of another person), of which some have a certificate."""
    registry, code = _filled(folder, titles, certificates)
    found = _events(registry)
    head = registry.log.head()
    found["leaf_entry"] = sum(len(leaf_entry(*row)) for row in registry.log.recorder.rows_by_position(0, head)) / head
    found["checkpoint"] = len(registry.tlog.kept.last() or b"") + 1
    found["tiles_on_disk"] = _allocated(registry.folder.tree / "tile") / head
    found |= _tables(registry.folder.path / "registry.db") | _register(registry.folder.register)
    found |= _server(registry.folder.path / "registry.db", url) if url else {}
    found["answer"] = _answer(folder, registry, code)
    found["answer_json"] = len(msgspec.json.encode(registry.verifier.check(code)))
    registry.close()
    return {name: round(value, 1) for name, value in found.items()}


def _filled(folder: Path, titles: int, certificates: int) -> tuple[Registry, str]:
    write_list(folder / "list.csv", titles)
    registry = new_registry(folder / "data")
    registry.import_awards(folder / "list.csv", authority="331100", document="BENCH〔2021〕1号", officer="bench")
    proof = proof_of(registry, Press())
    for stream in registry.register.without_certificate()[:certificates]:
        code = registry.issue(stream, proof, officer="bench").code
    registry.register.catch_up()
    registry.tlog.sequence()
    return registry, code


def _events(registry: Registry) -> dict[str, float]:
    """The mean size of what is stored of each kind of event that a title has."""
    seen = dict[str, list[int]]()
    for _, _, _, name, state in registry.log.recorder.rows_by_position(0, registry.log.head()):
        seen.setdefault(name, []).append(len(state))
    wanted = ("holder-registered/1", "title-awarded/1", "certificate-prepared/1", "certificate-signed/2")
    return {f"event:{name}": sum(seen[name]) / len(seen[name]) for name in wanted if name in seen}


def _tables(path: Path) -> dict[str, float]:
    """Bytes a row of each table and index of the log, events without what is stored in them."""
    with closing(sqlite3.connect(path)) as c:
        pages = dict(c.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name").fetchall())
        count = {name: c.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in _LOG}
        stored = c.execute("SELECT sum(length(state)) FROM stored_events").fetchone()[0]
        index = sum(size for name, size in pages.items() if name.startswith("sqlite_autoindex_stored_events"))
    events = count["stored_events"]
    return {
        "row:event": (pages["stored_events"] - stored) / events,
        "index:event": index / events,
        "row:claim": pages["claims"] / count["claims"],
        "claims:title": count["claims"] / max(1, count["data_keys"]),
        "row:data_key": pages["data_keys"] / count["data_keys"],
    }


_LOG = ("stored_events", "claims", "data_keys")


def _server(path: Path, url: str) -> dict[str, float]:
    """The same rows in PostgreSQL: bytes a row of a table and of its indexes, without what is stored in events."""
    create(url)
    found = dict[str, float]()
    with closing(connect(url, role="none")) as server, closing(sqlite3.connect(path)) as c:
        for table in _LOG:
            rows = c.execute(f"SELECT {'rowid, ' if table == 'stored_events' else ''}* FROM {table}").fetchall()
            with server.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            for part in ("table", "indexes"):
                size = server.execute(f"SELECT pg_{part}_size('{table}')").fetchall()[0][0]
                found[f"postgresql:{table}:{part}"] = size / len(rows)
        stored = server.execute("SELECT avg(length(state)) FROM stored_events").fetchall()[0][0]
    found["postgresql:stored_events:table"] -= float(stored)
    return found


def _register(path: Path) -> dict[str, float]:
    """Bytes a title of the register: its rows, the name's rows and all indexes."""
    with closing(sqlite3.connect(path)) as c:
        size = c.execute("SELECT sum(pgsize) FROM dbstat").fetchone()[0]
        return {"register:title": size / c.execute("SELECT count(*) FROM titles").fetchone()[0]}


def _answer(folder: Path, registry: Registry, code: str) -> float:
    """Bytes of one recorded answer of a verification."""
    answer = registry.verifier.check(code)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        log = AnswerLog(Path(place), every=0.01)
        for n in range(ANSWERS):
            at = answer.checked_at + timedelta(milliseconds=n)
            log.record(msgspec.structs.replace(answer, checked_at=at), Channel.CODE_JSON)
        log.close()
        return sum(path.stat().st_size for path in Path(place).iterdir()) / ANSWERS


def _allocated(folder: Path) -> int:
    """What the files below take on the disk, in whole blocks."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Print the sizes of a registry of that many titles."""
    titles, certificates, url = (*sys.argv[1:], *("20000", "300", "")[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measured(Path(folder), int(titles), int(certificates), url), indent=1))


if __name__ == "__main__":
    main()
