"""How a check says what it saw and what it expected, whether it passes or fails."""


class CheckFailed(Exception):
    """A check fails; the text is its evidence.

    `by` is the machine whose server erred: it answered with a temporary or internal error, kept a message, or failed. What it
    logged about that belongs to the evidence (a kit says it: interface.py).
    """

    def __init__(self, saw: str, wanted: str = "", *, by: str = "") -> None:
        """Say what was seen and what was expected."""
        super().__init__(_sentence(saw, wanted))
        self.saw, self.wanted, self.by = saw, wanted, by


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
    >>> str(evidence), evidence.seen, evidence.expected
    ('myorigin is asmith15.ops (expected: asmith15.ops)', 'myorigin is asmith15.ops', 'asmith15.ops')
    """

    def __init__(self) -> None:
        """Nothing has been seen yet."""
        self._noted: list[tuple[str, str]] = []
        self._doubts: list[tuple[str, str]] = []

    def __call__(self, holds: object, saw: str, wanted: str, *, by: str = "") -> None:
        """Note what was seen. Raises CheckFailed, with what was seen and expected, when `holds` is false."""
        if not holds:
            raise CheckFailed(saw, wanted, by=by)
        self._noted.append((saw, wanted))

    def doubt(self, saw: str, better: str) -> None:
        """Note a warning: it works, but the course's marker may not see it, or it will not keep working."""
        self._doubts.append((saw, better))

    @property
    def doubts(self) -> list[str]:
        """The warnings."""
        return [f"{saw} (better: {better})" for saw, better in self._doubts]

    @property
    def seen(self) -> str:
        """What was seen: of the warnings, or if there are none, of everything."""
        return "; ".join(saw for saw, _ in self._doubts or self._noted)

    @property
    def expected(self) -> str:
        """What was expected there."""
        return "; ".join(dict.fromkeys(wanted for _, wanted in self._doubts or self._noted))

    def __str__(self) -> str:
        """The warnings, or if there are none, everything that was seen."""
        return "; ".join(self.doubts or [_sentence(*noted) for noted in self._noted])


def _sentence(saw: str, wanted: str) -> str:
    return f"{saw} (expected: {wanted})" if wanted else saw
