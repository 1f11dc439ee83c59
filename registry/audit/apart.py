"""The second process of a large audit: it does pieces of a job that needs no key of the registry. See `sharing`."""

import sys
from pathlib import Path

import msgspec

from registry.audit.leafing import Unwell
from registry.audit.pieces import Done, Job, Worker
from registry.audit.sharing import taken
from registry.log.engine import recorder_at


def main() -> None:
    """Do what falls to this process; then say what it came to, or nothing at all if anything is not as it must be."""
    job, found = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Job), list[tuple[int, Done]]()
    recorder = recorder_at(job.place if "://" in job.place else Path(job.place))
    worker = Worker(job, recorder)
    try:
        for number in taken(int(sys.argv[1])):
            found.append((number, worker.do(job.pieces[number])))
    except Unwell:
        return  # it is done again where it can be told
    finally:
        recorder.close()
    sys.stdout.buffer.write(msgspec.msgpack.encode(found))


if __name__ == "__main__":
    main()
