"""Which environments of a class there are: known from their labels alone."""

from collections.abc import Collection
from fnmatch import fnmatchcase

from labenv.classroom.folder.model import Class
from labenv.engine import Engine
from labenv.environment import Environment
from labenv.errors import EngineError
from labenv.lab import labs


def environments(
    engine: Engine, of: Class, only: Collection[str] | None = None, lab: str | None = None
) -> list[Environment]:
    """The class's environments, by student: of those whom `only` names, and of one `lab` of the class, if given.

    They are found by their label, so also those of students who have left the roster. Raises UsageError for a name that is nobody's
    in the class and for a lab that is none of its, EngineError if there is no environment.
    """
    wanted = labs.load(of.assignment(lab).lab).id if lab else None
    mine = [each for each in engine.environments() if each.belongs.class_id == of.id and wanted in (None, each.lab)]
    found = {each.student.id for each in mine} if not only else set[str]()
    for word in (part.strip() for text in only or () for part in text.split(",")):
        named = {each.student.id for each in mine if fnmatchcase(each.student.id, word)}
        named |= {one.id for one in of.members if one.given == word}
        if not named:
            of.chosen([word])  # raises if nobody has that name
        found |= named
    chosen = [each for each in mine if each.student.id in found]
    if not chosen:
        whose = f" of {', '.join(only)}" if only else ""
        kind = f" of {wanted}" if wanted else ""
        raise EngineError(f"{of.name} has no environment{kind}{whose}. To make them: labenv class up")
    return chosen
