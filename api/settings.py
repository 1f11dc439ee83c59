"""Settings of a process, from the environment (TITLE_REGISTRY_…). Settings of the data are in its config.json."""

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from keys.custody import read_passphrase


class Settings(BaseSettings):
    """What a process needs to know. The CLI's options come before the environment."""

    model_config = SettingsConfigDict(env_prefix="TITLE_REGISTRY_", env_ignore_empty=True, extra="ignore")

    data: Path = Field(default=Path("data"), description="the data folder")
    passphrase_file: Path | None = Field(default=None, description="file with the passphrase of the keys; mode 0600")
    passphrase: str | None = Field(default=None, description="the passphrase itself; a file is better", repr=False)
    officer: str | None = Field(default=None, description="the officer on whose behalf the command line acts")
    extra_fonts: Path | None = Field(default=None, description="folder with further fonts for rare characters")
    checkpoints: Path | None = Field(default=None, description="second store: folder for the last signed checkpoint")
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8000, description="port to listen on", ge=1, le=65535)
    workers: int = Field(default=1, description="service processes", ge=1, le=64)
    read_database: str | None = Field(default=None, description="a read replica of the database, for verifications")

    def read_passphrase(self) -> bytes:
        """The passphrase: from the file named, the environment, or the file `passphrase` in the data folder.

        Raise keys.errors.KeysError if there is none, or if the file can be read by others.
        """
        beside = self.data / "passphrase"
        file = self.passphrase_file or (beside if self.passphrase is None and beside.exists() else None)
        return read_passphrase(file, os.environ)
