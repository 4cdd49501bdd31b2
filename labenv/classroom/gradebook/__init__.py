"""Grades as files to keep or hand on: for a spreadsheet, a CI server, an autograder, and for each LMS's gradebook."""

from collections.abc import Callable

from labenv.classroom.gradebook.autograder import results
from labenv.classroom.gradebook.book import Alike, Book, Page
from labenv.classroom.gradebook.cases import as_junit
from labenv.classroom.gradebook.lms import LMS, Import, as_import
from labenv.classroom.gradebook.spreadsheet import as_csv, as_xlsx

# What a class's grades can be written as: the bytes of the file. For LMS, see `as_import`; for one student, `results`.
KINDS: dict[str, Callable[[Book], bytes]] = {"csv": as_csv, "xlsx": as_xlsx, "junit": as_junit}

__all__ = ["KINDS", "LMS", "Alike", "Book", "Import", "Page", "as_import", "results"]
