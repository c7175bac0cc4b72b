"""Which of the members is asked: the same one for as long as it answers, the first one where it can be. Pure."""

from collections.abc import Sequence

RETURN_AFTER = 20
RETURN_AFTER_MAX = 640
"""So many answers of another member, and the preferred one is tried again; twice as many each time it was in vain."""


class Endpoints:
    def __init__(self, urls: Sequence[str]) -> None:
        """``urls`` as in https://10.0.0.1:2379, in order of preference."""
        self.urls = tuple(dict.fromkeys(url.rstrip("/") for url in urls))
        if not self.urls:
            raise ValueError("no endpoint")
        self._index = 0
        self._known: set[str] = set()
        self._answers = 0
        self._return_after = RETURN_AFTER

    @property
    def current(self) -> str:
        return self.urls[self._index]

    def known(self, url: str) -> bool:
        """Whether it was seen to be of our etcd cluster, and has not failed since."""
        return url in self._known

    def identified(self, url: str) -> None:
        self._known.add(url)

    def answered(self, url: str) -> None:
        """The preferred one (a node's own) may only have been away for a moment; the others may go with their nodes."""
        if url != self.current:
            return
        self._answers += 1
        if self._index and self._answers >= self._return_after:
            self._index, self._answers = 0, 0
            self._return_after = min(2 * self._return_after, RETURN_AFTER_MAX)
        elif not self._index and self._answers >= RETURN_AFTER:
            self._return_after = RETURN_AFTER

    def doubt(self, url: str) -> None:
        """A connection ended: who answers at the next one may be somebody else."""
        self._known.discard(url)

    def failed(self, url: str) -> None:
        """The next one is asked, unless another request has moved on already."""
        self._known.discard(url)
        if url == self.current:
            self._answers = 0
            self._index = (self._index + 1) % len(self.urls)
