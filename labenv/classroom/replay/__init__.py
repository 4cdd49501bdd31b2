"""Judging what was handed in on clean machines: its configuration is carried there as data, and no program of the student's is."""
