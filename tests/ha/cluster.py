"""The cluster of deploy/ha, and how one of its two machines dies."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psycopg

KIT = Path(__file__).resolve().parents[2] / "deploy" / "ha"
PATIENCE = 60  # seconds


class Cluster:
    """Two PostgreSQL nodes and etcd, started by the kit itself in a folder of their own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ha-"))
        try:
            self.up()
        except BaseException:
            self.remove()
            raise
        lines = (self.folder / "settings").read_text().splitlines()
        self._settings = dict(line.split("=", 1) for line in lines)

    @property
    def url(self) -> str:
        """The address of the database that it told."""
        return (self.folder / "url").read_text().strip()

    def up(self) -> None:
        """Start what does not run; return when there are a leader and a synchronous standby."""
        self._run("up")

    def remove(self) -> None:
        """End everything and delete the folder."""
        if (self.folder / "settings").exists():
            self._run("down")
        shutil.rmtree(self.folder)

    def _run(self, script: str) -> None:
        done = subprocess.run([KIT / script, self.folder], capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr + self._logs()

    def _logs(self) -> str:
        return "\n".join(
            f"{path}:\n{path.read_text()[-3_000:]}" for path in sorted(self.folder.glob("node*/patroni.log"))
        )

    def ask(self, node: int, statement: str) -> list[tuple[object, ...]]:
        """Ask one node, as the superuser."""
        with psycopg.connect(f"host=127.0.0.1 port={self._settings[f'PORT{node}']} user=postgres dbname=postgres") as c:
            return c.execute(statement.encode()).fetchall()

    def leader(self) -> int | None:
        """The number of the node whose Patroni says that it leads now."""
        for node in (1, 2):
            try:
                with urllib.request.urlopen(self._asking(node), timeout=2):
                    return node
            except (urllib.error.URLError, OSError):
                continue
        return None

    def _asking(self, node: int) -> str:
        return f"http://127.0.0.1:{self._settings[f'REST_PORT{node}']}/primary"

    def wait_for_leader(self, other_than: int) -> int:
        """Wait until another node leads."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.leader()) in (None, other_than):
            assert time.monotonic() < deadline, self._logs()
            time.sleep(0.05)
        assert found is not None
        return found

    def kill(self, node: int) -> None:
        """Let a machine die: SIGKILL to its Patroni, its PostgreSQL and every process of that, none left to answer."""
        of_node = self.folder / f"node{node}"
        pids = [int((of_node / "patroni.pid").read_text())]
        server = int((of_node / "data" / "postmaster.pid").read_text().split()[0])
        for pid in (*pids, server):
            os.kill(pid, signal.SIGSTOP)  # so that none of them starts another while they are counted
        pids += [server, *_children(server)]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def _children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found
