"""Run the HTTP service: uvicorn, one registry opened in each service process."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from api.settings import Settings
from registry.errors import Unavailable
from registry.service import Registry

APP = "api.app:from_environment"
_LOG = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stderr"}},
    "loggers": {"uvicorn": {"handlers": ["stderr"], "level": "INFO", "propagate": False}},
}


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
    Registry.open(settings.data, settings.read_passphrase(), checkpoints=settings.checkpoints).close()
    with _held(settings.data):
        _run(target, host, port, workers)


def _run(target: str, host: str, port: int, workers: int) -> None:
    uvicorn.run(
        target,
        host=host,
        port=port,
        workers=workers if workers > 1 else None,
        factory=True,
        loop="uvloop",
        http="httptools",
        ws="none",
        backlog=1024,
        access_log=False,
        log_config=_LOG,
        server_header=False,
        timeout_graceful_shutdown=5,
    )


@contextmanager
def _held(data: Path) -> Iterator[None]:
    """Hold the data folder while it is served: nothing is restored over it. Raise Unavailable while that goes on."""
    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise Unavailable(f"{data} 正在恢复备份", fix="恢复结束后再启动") from error
    finally:
        os.close(descriptor)


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
