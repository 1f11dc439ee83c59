"""The doors of signed-in readers, put together: their routes, and what a service process keeps for them."""

from fastapi import FastAPI

from api import certificates, history, holders, imports, metrics, officers, papers, proposals
from api.certificates import Printing
from api.idempotency import RequestStore
from api.jobs import Jobs
from api.metrics import Figures
from registry.service import Registry

ROUTES = [
    *officers.ROUTES,
    *certificates.ROUTES,
    *proposals.ROUTES,
    *papers.ROUTES,
    *imports.ROUTES,
    *holders.ROUTES,
    *history.ROUTES,
    *metrics.ROUTES,
]


def prepare(app: FastAPI, registry: Registry) -> None:
    """Give the application what these doors keep: answered requests, jobs, the press, figures."""
    app.state.requests = RequestStore(registry.folder.path / "requests.db")
    app.state.jobs = Jobs(registry, app.state.requests)
    app.state.printing = Printing()
    app.state.figures = Figures(registry)


def close(app: FastAPI) -> None:
    """End the jobs, before the registry is closed. It waits for those that run."""
    app.state.jobs.close()
