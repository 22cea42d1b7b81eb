"""What is written down of each request, as numbers for Prometheus and a line of the log: never a picture or a text."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

LOG = logging.getLogger("demo.requests")
SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)


class Records:
    """The numbers of one engine since it was made.

    Args:
        waiting: how many queries wait, or are being answered.
        kept: how many bytes the cache holds.
    """

    def __init__(self, waiting: Callable[[], float], kept: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # memory, processor time, open files
        self._requests = Counter(
            "demo_requests", "Queries by what became of them", ["task", "outcome"], registry=self._registry
        )
        self._seconds = Histogram(
            "demo_request_seconds", "From a query to its answer", ["task"], buckets=SECONDS, registry=self._registry
        )
        self._waited = Histogram(
            "demo_waited_seconds", "From a query to its turn", ["task"], buckets=SECONDS, registry=self._registry
        )
        Gauge("demo_waiting", "Queries that wait or are being answered", registry=self._registry).set_function(waiting)
        Gauge("demo_cache_bytes", "What the cache holds", registry=self._registry).set_function(kept)

    def add_outcome(
        self, task: str, model: str, outcome: str, seconds: float | None = None, waited: float = 0.0
    ) -> None:
        """Write down what became of a query: "answered", "known" from the cache, "refused", "left" or "failed".

        Args:
            seconds: how long it took, if it was to be computed; of these it `waited`.
        """
        self._requests.labels(task, outcome).inc()
        if seconds is not None:
            self._seconds.labels(task).observe(seconds)
            self._waited.labels(task).observe(waited)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        took, before = round(1000 * (seconds or 0)), round(1000 * waited)
        line = {"time": now, "task": task, "model": model, "milliseconds": took, "waited": before, "outcome": outcome}
        LOG.info(json.dumps(line, ensure_ascii=False))

    def as_text(self) -> bytes:
        """All numbers in the format of Prometheus."""
        return generate_latest(self._registry)
