"""What all pages of the teacher share."""

from dataclasses import dataclass, field

from labenv.gate.state import Gate
from labenv.web.class_.calls import Calls
from labenv.web.class_.watching import Watching
from labenv.web.class_.works import Works


@dataclass(eq=False)
class Teaching:
    """The rows of the class, what goes to the students' pages, and the work for all of them that goes on."""

    gate: Gate
    watching: Watching = field(init=False)
    calls: Calls = field(init=False)
    works: Works = field(init=False)

    def __post_init__(self) -> None:
        """Nobody looks yet, and nothing goes on."""
        self.watching = Watching(self.gate)
        self.calls = Calls(self.gate)
        self.works = Works(self.gate)
