"""A class's page: its students sign in, and each has the page of their own environment; the teacher sees all of them.

It is a second door to the gate: the same passwords, the same rules for what a student may do, the same log of who did what.
"""
