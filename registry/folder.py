"""What a data folder holds, and the few settings that belong to the data rather than to a process."""

import hashlib
import os
from datetime import date
from pathlib import Path

import msgspec

from registry.errors import BadInput, Refused, Unavailable
from registry.log.engine import Place, vacant


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one registry. `base_url` is printed into every QR and cannot end in a slash.

    `keep_backups` is how many days a backup may be kept: whoever was erased is still in those from before. `database`
    says where the log is: empty for the file `registry.db`, else a postgresql:// address without a password.
    """

    base_url: str
    organisation: str = "丽水市人力资源和社会保障局"
    phone: str = ""
    sample: bool = False
    paper_before: date = date(2008, 1, 1)
    keep_backups: int = 90
    database: str = ""


class Folder:
    """The files of one registry: the log, the register that can be rebuilt, keys, sealed evidence, settings."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "registry.db"
        self.register = path / "register.db"
        self.keys = path / "keys"
        self.evidence = path / "evidence"
        self.answers = path / "answers"
        self.looks = path / "looks"
        self.config = path / "config.json"
        self.tree = path / "log"
        self.policy = path / "log" / "policy"

    def outside(self, folder: Path | None) -> Path:
        """Where the last signed checkpoint is kept outside this folder: in the one named, or in one beside this.

        It is named after the root certificate, so that several registries may share a folder and a copy of this one
        finds its own. Raise Unavailable without a root certificate.
        """
        try:
            name = hashlib.sha256((self.keys / "root.pem").read_bytes()).hexdigest()[:16]
        except OSError as error:
            raise Unavailable(f"{self.keys / 'root.pem'} 不能读取：{error.strerror}", fix="从备份恢复") from error
        return (folder or self.beside) / name

    @property
    def beside(self) -> Path:
        """The folder of the second store if no other was named."""
        here = self.path.resolve()
        return here.with_name(f"{here.name}.checkpoints")

    @property
    def store(self) -> Place:
        """Where the log is: its file, or the address of its database."""
        return self.read_config().database or self.log

    def create(self, config: Config) -> None:
        """Make the folder. Refuse one that holds a registry, a database that does, and an address that is none."""
        if self.config.exists() or self.log.exists():
            raise Refused(f"{self.path} 已经是一个登记库", fix="换一个空文件夹，或直接使用它")
        if not config.base_url.startswith(("https://", "http://")) or config.base_url.endswith("/"):
            raise BadInput(
                f"地址 {config.base_url} 须以 http(s):// 开头，末尾不带斜杠", fix="例如 https://zc.example.cn"
            )
        if config.database and not vacant(config.database):
            raise Refused(
                "该数据库模式里已经有一个登记库", fix="换一个模式（options=-csearch_path%3D名称）或另一个数据库"
            )
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(self.config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n")

    def read_config(self) -> Config:
        """The settings. Raise Unavailable if this is no data folder or the file cannot be read."""
        try:
            return msgspec.json.decode(self.config.read_bytes(), type=Config)
        except FileNotFoundError:
            raise Unavailable(f"{self.path} 不是登记库（没有 config.json）", fix="先运行 title-registry init") from None
        except (OSError, msgspec.MsgspecError) as error:
            raise Unavailable(f"{self.config} 不能读取：{error}", fix="修复该文件，或从备份恢复") from error
