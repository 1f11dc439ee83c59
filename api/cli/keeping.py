"""The options of `init` that say where private keys are kept, and whether there is an SM2 key."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from api.cli.common import option
from keys.backends import TokenSettings
from keys.signing import Purpose
from keys.sm2 import NOTICE_EN, NOTICE_ZH


class Keeping(StrEnum):
    """Where private keys are kept."""

    FILES = "files"
    PKCS11 = "pkcs11"


class SealAlgorithm(StrEnum):
    """An additional signing key."""

    NONE = "none"
    SM2 = "sm2"


KeptIn = Annotated[Keeping, option("--custody", help="Where private keys are kept: encrypted files, or a token.")]
Module = Annotated[
    Path | None, option("--pkcs11-module", metavar="FILE", help="Library of the token's maker, with --custody pkcs11.")
]
Label = Annotated[str | None, option("--pkcs11-token", metavar="LABEL", help="Label of the token.")]
PinFile = Annotated[
    Path | None, option("--pkcs11-pin-file", metavar="FILE", help="File with the token's user PIN, mode 0600.")
]
Seal = Annotated[
    SealAlgorithm,
    option("--seal-algorithm", help=f"sm2: also make an SM2 key ({NOTICE_EN} / {NOTICE_ZH})."),
]


def token_settings(
    custody: Keeping, module: Path | None, label: str | None, pin_file: Path | None
) -> TokenSettings | None:
    """What was chosen; None for files. Ends with a usage error where the choice is not whole."""
    given = {"--pkcs11-module": module, "--pkcs11-token": label, "--pkcs11-pin-file": pin_file}
    for name, value in given.items():
        if (value is not None) != (custody is Keeping.PKCS11):
            needed = "is needed with" if value is None else "goes only with"
            raise typer.BadParameter(f"{needed} --custody pkcs11", param_hint=name)
    if module is None or label is None or pin_file is None:
        return None
    return TokenSettings(str(module.resolve()), label, str(pin_file.resolve()))


def also_made(seal: SealAlgorithm) -> tuple[Purpose, ...]:
    """The purposes that are off by default and were asked for."""
    return (Purpose.SM2_SEAL,) if seal is SealAlgorithm.SM2 else ()
