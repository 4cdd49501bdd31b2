"""Grades as files to keep or hand on: for a spreadsheet, a CI server, an autograder, and for each LMS's gradebook."""

from collections.abc import Callable

from labenv.classroom.gradebook.book import Alike, Book, Page

# What a class's grades can be written as: the bytes of the file.
KINDS: dict[str, Callable[[Book], bytes]] = {}

__all__ = ["KINDS", "Alike", "Book", "Page"]
