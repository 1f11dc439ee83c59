"""Open a registry and answer for one code, in a process that needs nothing else: how long a start takes.

`python -m api.bench.opening FOLDER CODE` prints the status that was answered.
"""

import sys
from pathlib import Path

from registry.service import Registry

PASSPHRASE = b"bench only"
"""Every registry of a measurement is opened with it."""


def main() -> None:
    """Answer, and end."""
    registry = Registry.open(Path(sys.argv[1]), PASSPHRASE)
    print(registry.verifier.check(sys.argv[2]).status)
    registry.close()


if __name__ == "__main__":
    main()
