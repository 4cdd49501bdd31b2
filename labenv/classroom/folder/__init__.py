"""A class is a folder: class.yaml, roster.csv, and the records that labenv keeps of it."""
