"""The sheets of the course, each typed word by word by a person at terminals. Nothing here uses labenv's internals.

Each module has `typed(at)`, which types its sheet and asserts what the screen says meanwhile, and FROM, the stage where the sheet begins.
"""
