"""The served application with one empty FastAPI route beside it: the floor of a verification."""

import sys
from pathlib import Path

from fastapi import FastAPI

from api.app import from_environment
from api.serving import serve

EMPTY = "/bench/empty"


def app() -> FastAPI:
    """The application of the service, and an empty async route in front of its other routes."""
    application = from_environment()

    async def empty() -> dict[str, str]:
        return {}

    application.add_api_route(EMPTY, empty, methods=["GET"])
    application.router.routes.insert(0, application.router.routes.pop())
    return application


if __name__ == "__main__":
    serve(Path(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), workers=1, target="api.bench.server:app")
