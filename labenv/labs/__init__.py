"""The labs: each a folder of data, templates and checks."""

DEFAULT = "lab4b"  # the lab that is used when none is named
