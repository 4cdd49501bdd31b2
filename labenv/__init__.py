"""labenv: one command brings up a working mail lab for a student, and proves it."""

__version__ = "0.1.0"
