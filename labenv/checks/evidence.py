"""How a check says what it saw and what it expected, whether it passes or fails."""


class CheckFailed(Exception):
    """A check does not hold; the text is its evidence."""


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

    def rather(self, holds: object, saw: str, wanted: str) -> None:
        """Like a call, but what does not hold is only a doubt: the step works, the course's marker may not see it."""
        if holds:
            self._seen.append(f"{saw} (expected: {wanted})")
        else:
            self.doubts.append(f"{saw} (better: {wanted})")

    def __str__(self) -> str:
        """The doubts, or if there are none, all that was seen."""
        return "; ".join(self.doubts or self._seen)
