"""What a request is refused for: a status and one sentence."""


class Refusal(Exception):
    """A request, or one image of a batch, that gets no verdict.

    status: 4xx for what the sender can mend, 503 where it is to come again after `again` seconds, 504 for too late.
    """

    def __init__(self, status: int, sentence: str, *, again: int | None = None) -> None:
        """Keep the answer's parts."""
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.again = again

    @property
    def headers(self) -> dict[str, str]:
        """Return what the answer's head says beside the status."""
        return {} if self.again is None else {"Retry-After": str(self.again)}
