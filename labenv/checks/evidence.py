"""How a check says what it saw and what it expected, whether it passes or fails."""


class CheckFailed(Exception):
    """A check does not hold; the text is its evidence."""


class Waits(Exception):
    """A check cannot be judged before another step is mended, though its own step does not need that one as a rule.

    Mail goes where relayhost says: while that is not set nothing waits for it, but when it is wrong everything does.
    """

    def __init__(self, step: str) -> None:
        """Name the step to mend first."""
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
        """Nothing was seen yet."""
        self._seen: list[str] = []
        self.doubts: list[str] = []

    def __call__(self, holds: object, saw: str, wanted: str) -> None:
        """Note what was seen. Raises CheckFailed, with it and what was wanted, when `holds` is false."""
        sentence = f"{saw} (expected: {wanted})"
        if not holds:
            raise CheckFailed(sentence)
        self._seen.append(sentence)

    def doubt(self, saw: str, better: str) -> None:
        """Note that it works, but that the course's marker may not see it, or that it will not work for ever."""
        self.doubts.append(f"{saw} (better: {better})")

    def __str__(self) -> str:
        """The doubts, or if there are none, all that was seen."""
        return "; ".join(self.doubts or self._seen)
