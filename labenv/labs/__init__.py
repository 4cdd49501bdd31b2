"""The labs: each a folder of data, templates and checks."""
