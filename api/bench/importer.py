"""Import one list and print receipt, seconds and memory growth as JSON; run as a process so that memory is its own."""

import sys
from pathlib import Path

import msgspec

from api.bench.figures import memory, reset_peak, seconds
from api.bench.material import PASSPHRASE
from registry.service import Registry


def main() -> None:
    """Import argv[2] into the registry in argv[1]."""
    registry = Registry.open(Path(sys.argv[1]), PASSPHRASE)
    reset_peak()
    before, receipts = memory("VmRSS"), []

    def work() -> None:
        receipts.append(
            registry.import_awards(Path(sys.argv[2]), authority="331100", document="BENCH〔2021〕1号", officer="bench")
        )

    took = seconds(work)
    sys.stdout.buffer.write(msgspec.json.encode((receipts[0], took, memory("VmHWM") - before)))


if __name__ == "__main__":
    main()
