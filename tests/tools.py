"""Programs of the machine that tests judge by. Without one a test is skipped with a loud reason; CI forbids that."""

import shutil

import pytest


def need(*programs: str) -> None:
    """Skip the test unless all these programs are installed. With REQUIRE_ALL=1 a skip is a failure (see conftest)."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"NOT CHECKED: {', '.join(missing)} is missing on this machine; .ci/run installs it")
