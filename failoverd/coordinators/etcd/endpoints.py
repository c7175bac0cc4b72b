"""Which of the members is asked: the same one for as long as it answers. Pure."""

from collections.abc import Sequence


class Endpoints:
    def __init__(self, urls: Sequence[str]) -> None:
        """``urls`` as in https://10.0.0.1:2379, in order of preference."""
        self.urls = tuple(dict.fromkeys(url.rstrip("/") for url in urls))
        if not self.urls:
            raise ValueError("no endpoint")
        self._index = 0
        self._known: set[str] = set()

    @property
    def current(self) -> str:
        return self.urls[self._index]

    def known(self, url: str) -> bool:
        """Whether it was seen to be of our etcd cluster, and has not failed since."""
        return url in self._known

    def identified(self, url: str) -> None:
        self._known.add(url)

    def doubt(self, url: str) -> None:
        """A connection ended: who answers at the next one may be somebody else."""
        self._known.discard(url)

    def failed(self, url: str) -> None:
        """The next one is asked, unless another request has moved on already."""
        self._known.discard(url)
        if url == self.current:
            self._index = (self._index + 1) % len(self.urls)
