"""Jobs that wait, served client by client in turn."""

from collections import deque
from collections.abc import Callable

from demo.job import Job

MAX_ALONE = 2  # questions of one client in a batch, if no other waits


class FairQueue:
    """Waiting jobs, by client. A job of several clients waits in the queue of each."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Job]] = {}  # the first client is served next

    def __bool__(self) -> bool:
        return bool(self._queues)

    def __contains__(self, job: Job) -> bool:
        return any(job in queue for queue in self._queues.values())

    def position(self, client: str) -> int:
        """How many others are served before a client that waits."""
        return list(self._queues).index(client) if client in self._queues else 0

    def add(self, client: str, job: Job) -> None:
        queue = self._queues.setdefault(client, deque())
        if job not in queue:
            queue.append(job)

    def remove(self, client: str, job: Job) -> None:
        """Remove a job from the queue of one client, if it is there."""
        queue = self._queues.get(client, deque())
        if job in queue:
            queue.remove(job)
            if not queue:
                del self._queues[client]

    def next_batch(
        self,
        max_size: Callable[[Job], int],
        together: Callable[[Job, Job], bool],
        ready: Callable[[Job], bool] = lambda _: True,
    ) -> list[Job]:
        """Take the first job of the first client, and others that can be computed together with it.

        Args:
            max_size: of the batch, by its first job.
            together: whether a job can be computed with the first.
            ready: whether a job can be computed now; others are passed over.

        Returns:
            At most one job of each client, or two where a single one waits: so a new client never waits for more than
            two jobs of another. Nothing, if nothing is ready.
        """
        turn = next(((client, job) for client, queue in self._queues.items() for job in queue if ready(job)), None)
        if turn is None:
            return []
        client, first = turn
        batch = [first]
        for other, queue in self._queues.items():
            count = 1 if len(self._queues) > 1 else MAX_ALONE
            if other == client:
                count -= 1  # the first is its own
            batch += [job for job in queue if job not in batch and ready(job) and together(first, job)][:count]
        batch = batch[: max_size(first)]
        self._take(batch)
        self._move_behind_the_others(client)
        return batch

    def _take(self, batch: list[Job]) -> None:
        for job in batch:
            for client in list(self._queues):
                self.remove(client, job)

    def _move_behind_the_others(self, client: str) -> None:
        if (queue := self._queues.pop(client, None)) is not None:
            self._queues[client] = queue
