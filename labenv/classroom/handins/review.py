"""Reads handed-in archives into one table."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from labenv import plain_tar
from labenv.classroom.handins import alike, archive, times
from labenv.classroom.handins.alike import Likeness
from labenv.classroom.handins.look import COLUMNS, TITLES, Looked, Submission, look
from labenv.errors import UsageError
from labenv.plain_tar import Unreadable
from labenv.reports import pages
from labenv.text import cell, decoded, one_line

_TEMPLATES = Path(__file__).parent / "templates"
_LARGEST_HANDOUT = 1_000_000  # bytes
_MOST_ALIKE = 10  # named in the notes of a row; JSON has them all
_EVER = datetime.max.replace(tzinfo=UTC)


def review(files: Iterable[Path], handouts: Iterable[Path] = ()) -> list[Submission]:
    """A row for each archive, in the given order; the notes of a broken one say why. A folder stands for the archives in it.

    `handouts` are texts that the students were given, so that quoting them counts nothing. Raises UsageError when none of the
    files exists, or a handout cannot be read.
    """
    files = listed(files)
    said = texts(handouts)
    found: list[Looked | Submission] = []
    for file in files:
        try:
            found.append(look(str(file), archive.read(file), said))
        except (Unreadable, UsageError) as error:  # the lab's own files may be broken
            found.append(Submission(str(file), notes=(f"unreadable: {error}",), sound=False))
    rows = iter(compared([each for each in found if isinstance(each, Looked)]))
    return [next(rows) if isinstance(each, Looked) else each for each in found]


def listed(files: Iterable[Path]) -> list[Path]:
    """The archives that are meant: a folder stands for those in it. Raises UsageError when none of the files exists."""
    given = list(files)
    if not any(file.exists() for file in given):
        raise UsageError(
            f"There is no file {one_line(', '.join(map(str, given)))}. Give archives from `labenv submit`."
        )
    return [file for each in given for file in (_archives(each) if each.is_dir() else [each])]


def _archives(folder: Path) -> list[Path]:
    """The archives in a folder, or the folder itself, which is none, so that its row says so."""
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith((".tar.gz", ".tgz"))) or [folder]
    except OSError:
        return [folder]


def as_csv(rows: Iterable[Submission]) -> str:
    """The table as CSV (RFC 4180); a cell that a spreadsheet would take for a formula gets an apostrophe in front."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS.values())
    for row in rows:
        writer.writerow(map(cell, row.cells()))
    return buffer.getvalue()


def as_html(rows: Iterable[Submission]) -> str:
    """The table as one self-contained HTML page."""
    return pages.templates(_TEMPLATES).get_template("review.html.j2").render(columns=TITLES, rows=list(rows))


def texts(handouts: Iterable[Path]) -> tuple[str, ...]:
    """The texts that the students were given. Raises UsageError if one cannot be read."""
    return tuple(_handout(file) for file in handouts)


def _handout(file: Path) -> str:
    try:
        with plain_tar.opened(file) as opened:
            return decoded(opened.read(_LARGEST_HANDOUT))
    except (OSError, Unreadable) as error:
        raise UsageError(f"The handout {one_line(str(file))} cannot be read: {error}. Give a text file.") from error


def compared(read: Sequence[Looked]) -> list[Submission]:
    """The rows of submissions, in their order, with notes on what several of one lab share."""
    of_labs: dict[str, list[Looked]] = defaultdict(list)
    for each in read:
        of_labs[each.row.lab].append(each)
    rows = {lab: iter(_compared_in_one(those)) for lab, those in of_labs.items()}
    return [next(rows[each.row.lab]) for each in read]


def _compared_in_one(read: list[Looked]) -> list[Submission]:
    """The rows of one lab, with notes on what several of them share."""
    rows = []
    owners = {each.row.domain: each.row.student for each in read}
    for each, found in zip(read, alike.compared([each.traits for each in read]), strict=True):
        notes = [*each.row.notes]
        words = each.traits.own_words
        same = [other for other in read if words and other is not each and other.traits.own_words == words]
        same = [other for other in same if other.row.student != each.row.student]
        notes += [f"same log book as {other.row.student}" for other in same]
        notes += _sentences([a for a in found if a.what != "log book" or a.file not in {o.row.file for o in same}])
        foreign = sorted(name for name in each.traits.domains & owners.keys() if owners[name] != each.row.student)
        notes += [f"the configuration names {name}, the domain of {owners[name]}" for name in foreign]
        notes += of_the_same(each, read)
        rows.append(replace(each.row, notes=tuple(notes), alike=tuple(found)))
    return rows


def _sentences(found: list[Likeness]) -> list[str]:
    """A sentence for each submission that looks alike, the first ones."""
    by_file: dict[tuple[str, str], list[Likeness]] = defaultdict(list)
    for each in found:
        by_file[each.student, each.file].append(each)
    said = [
        f"looks alike with {student}: {', '.join(part.sentence for part in parts)}"
        for (student, _), parts in by_file.items()
    ]
    more = [f"looks alike with {len(said) - _MOST_ALIKE} more"] if len(said) > _MOST_ALIKE else []
    return said[:_MOST_ALIKE] + more


def of_the_same(each: Looked, read: Sequence[Looked]) -> list[str]:
    """A sentence for each other submission of the same student, and for one that had hints which are not here."""
    notes = []
    for other in read:
        if other is not each and other.row.student == each.row.student:
            notes.append(f"same student as in {other.row.file}")
            gone = set(other.asked) - set(each.asked)
            if gone and (times.moment(other.row.when) or _EVER) <= (times.moment(each.row.when) or _EVER):
                notes.append(f"{len(gone)} hints in {other.row.file} are not in this later one")
    return notes
