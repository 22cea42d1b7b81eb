"""What Gradio keeps of each page that is open: half a megabyte, which others must not take from a user."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import gradio as gr
from gradio.state_holder import StateHolder

MAX_OPEN_OF_ONE = 400  # open pages of one address that are kept: a lecture hall may be one
MAX_OPEN = 2000  # open pages that are kept: a gigabyte


class Sessions(StateHolder):
    """Gradio's sessions. Above the page's capacity those go first that were used the longest ago, open pages never."""

    def __init__(self, page: gr.Blocks) -> None:
        super().__init__()
        self._open: Counter[str] = Counter()
        self._of_address: Counter[str] = Counter()
        self.set_blocks(page)

    @contextmanager
    def opened(self, session: str, address: str) -> Iterator[None]:
        """Keep a session as long as the connection is open by which its page says that it is there."""
        if self._of_address[address] >= MAX_OPEN_OF_ONE or self._of_address.total() >= MAX_OPEN:
            yield
            return
        self._open[session] += 1
        self._of_address[address] += 1
        try:
            yield
        finally:
            self._open -= Counter([session])
            self._of_address -= Counter([address])

    def update(self, session_id: str) -> None:
        """Note that a session is used."""
        with self.lock:
            if session_id in self.session_data:
                self.session_data.move_to_end(session_id)
            surplus = max(len(self.session_data) - self.capacity, 0)
            closed = (known for known in self.session_data if known not in self._open and known != session_id)
            for known in list(islice(closed, surplus)):
                del self.session_data[known]
                self.time_last_used.pop(known, None)
