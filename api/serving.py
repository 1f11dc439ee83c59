"""Run the HTTP service: granian in front, one registry opened in each service process."""

import os
import socket
from pathlib import Path

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops

from api.settings import Settings
from registry.errors import Unavailable
from registry.service import Registry

APP = "api.app:from_environment"


def serve(
    data: Path, *, host: str, port: int, workers: int, passphrase_file: Path | None = None, target: str = APP
) -> None:
    """Serve a data folder until SIGTERM or SIGINT. No access log is kept: addresses hold verification codes.

    Raise Unavailable for a port in use or a folder that is no registry, keys.errors.KeysError if its keys do not open;
    nothing is started then.
    """
    _check_port(host, port)
    os.environ["TITLE_REGISTRY_DATA"] = str(data)
    if passphrase_file is not None:
        os.environ["TITLE_REGISTRY_PASSPHRASE_FILE"] = str(passphrase_file)
    settings = Settings()
    Registry.open(settings.data, settings.read_passphrase()).close()
    Granian(
        target,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        workers=workers,
        factory=True,
        loop=Loops.asyncio,
        http=HTTPModes.http1,
        websockets=False,
        backpressure=256,
        log_access=False,
        respawn_failed_workers=True,
        workers_kill_timeout=5,
    ).serve()


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Unavailable(
                f"{host}:{port} 不能监听：{error.strerror}", fix="换一个端口（--port），或停掉占用它的程序"
            ) from error
