"""Figures for operators, in the text format of Prometheus: of this process, and of the log that all of them share.

Nothing is global: each service has its own figures. A verification by code is counted by adding to a plain int, so
that the short cut stays one; whoever reads the figures pays for them.
"""

import os
import time
from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import PRIVATE
from api.sequencing import Duty, lag
from api.signin.principal import admit
from registry.permissions import Permission
from registry.service import Registry

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_UNROUTED = "(none)"  # never the path itself: it may hold a code, and there is no end of them
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Figures:
    """The figures of one service process."""

    def __init__(self, registry: Registry) -> None:
        self.collectors = CollectorRegistry(auto_describe=False)
        self.verifications: Tally[int] = Tally()
        """Answers for a code by HTTP status: the short cut adds one to this, and nothing else."""
        self.requests = Counter(
            "title_registry_requests", "requests answered", ("method", "route", "status"), registry=self.collectors
        )
        self.seconds = Histogram(
            "title_registry_request_seconds",
            "seconds until the answer began",
            ("method", "route"),
            registry=self.collectors,
            buckets=_SECONDS,
        )
        self.duties: Sequence[Duty] = ()
        self.collectors.register(_Standing(registry, self))

    def text(self) -> bytes:
        """All figures, as Prometheus reads them."""
        return generate_latest(self.collectors)


class _Standing(Collector):
    """What is read off when somebody asks: the log, the tree over it, the answers that are to be kept."""

    def __init__(self, registry: Registry, figures: Figures) -> None:
        self._registry, self._figures = registry, figures

    def describe(self) -> list[Metric]:
        """Nothing beforehand: what would be described is read off only when somebody asks."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics now. None of them names or counts a person."""
        registry, now = self._registry, lag(self._registry)
        yield _gauge("log_head", "position of the newest event", now.head)
        yield _gauge("log_leaves", "leaves under the newest checkpoint", now.leaves)
        yield _gauge("log_unsequenced", "events that no checkpoint covers yet", now.head - now.sequenced)
        yield _gauge("log_unsequenced_seconds", "age of the oldest event that no checkpoint covers", now.tree_seconds)
        yield _gauge("register_position", "position up to which the register holds", now.register)
        yield _gauge("register_behind_seconds", "age of the oldest event not in the register", now.register_seconds)
        yield self._leads()
        yield _gauge("answers_waiting", "verification answers not yet written down", registry.answers.waiting)
        lost = CounterMetricFamily("title_registry_answers_lost", "verification answers that could not be kept")
        lost.add_metric([], registry.answers.lost)
        yield lost
        by_code = CounterMetricFamily("title_registry_verifications", "verifications by code", labels=("status",))
        for status, count in sorted(self._figures.verifications.items()):
            by_code.add_metric([str(status)], count)
        yield by_code

    def _leads(self) -> Metric:
        """Whether this process leads: over all processes of a registry the sum is 1 for each duty."""
        leads = GaugeMetricFamily("title_registry_leads", "1 if this process does it for all", labels=("duty", "pid"))
        for duty in self._figures.duties:
            leads.add_metric([duty.name, str(os.getpid())], float(duty.leads))
        return leads


def _gauge(name: str, help_: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"title_registry_{name}", help_, value=value)


class Counting:
    """Counts each request by the template of its route, its status and its time, never by its address."""

    def __init__(self, app: ASGIApp, figures: Figures) -> None:
        self.app, self.figures = app, figures
        self._templates: dict[tuple[Any, frozenset[str]], str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and count its answer; one that broke off before it began is status 0."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, taken = time.perf_counter(), 0, 0.0

        async def noting(message: Message) -> None:
            nonlocal status, taken
            if message["type"] == "http.response.start":
                status, taken = message["status"], time.perf_counter() - began
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "(other)"
            route = self._template(scope)
            self.figures.requests.labels(method, route, str(status)).inc()
            self.figures.seconds.labels(method, route).observe(taken or time.perf_counter() - began)

    def _template(self, scope: Scope) -> str:
        """The template of the route that answered, by its handler and the names of its parameters."""
        if not self._templates:
            for route in scope["app"].routes:
                if isinstance(route, Route):
                    self._templates[route.endpoint, frozenset(route.param_convertors)] = route.path
        return self._templates.get((scope.get("endpoint"), frozenset(scope.get("path_params", ()))), _UNROUTED)


async def metrics(request: Request) -> Response:
    """GET /metrics: the figures, for an operator by session or API key."""
    admit(request, Permission.METRICS)
    figures: Figures = request.app.state.figures
    return Response(await run_in_threadpool(figures.text), 200, PRIVATE, CONTENT_TYPE)


ROUTES = [Route("/metrics", metrics, methods=["GET"])]
