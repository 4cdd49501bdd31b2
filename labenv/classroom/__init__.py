"""Handing in and reading what was handed in: evidence, submissions, and a teacher's review of them."""
