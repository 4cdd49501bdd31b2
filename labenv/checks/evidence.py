"""How a check says what it saw and what it expected, whether it passes or fails."""


class CheckFailed(Exception):
    """A check fails; the text is its evidence."""


class Waits(Exception):
    """A check cannot be judged before another step is fixed, although its own step does not usually need that one.

    Mail goes where relayhost says: while relayhost is not set, nothing waits for it; when it is wrong, everything does.
    """

    def __init__(self, step: str) -> None:
        """Name the step to fix first."""
        super().__init__(f"waits for step {step}")
        self.step = step


class Evidence:
    """Collects the evidence of one check.

    >>> evidence = Evidence()
    >>> evidence(True, "myorigin is asmith15.ops", "asmith15.ops")
    >>> str(evidence)
    'myorigin is asmith15.ops (expected: asmith15.ops)'
    """

    def __init__(self) -> None:
        """Nothing has been seen yet."""
        self._seen: list[str] = []
        self.doubts: list[str] = []

    def __call__(self, holds: object, saw: str, wanted: str) -> None:
        """Note what was seen. Raises CheckFailed, with what was seen and expected, when `holds` is false."""
        sentence = f"{saw} (expected: {wanted})"
        if not holds:
            raise CheckFailed(sentence)
        self._seen.append(sentence)

    def doubt(self, saw: str, better: str) -> None:
        """Note a warning: it works, but the course's marker may not see it, or it will not keep working."""
        self.doubts.append(f"{saw} (better: {better})")

    def __str__(self) -> str:
        """The warnings, or if there are none, everything that was seen."""
        return "; ".join(self.doubts or self._seen)
