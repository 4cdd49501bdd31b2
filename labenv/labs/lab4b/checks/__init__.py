"""The checks of Lab 4b, one module a section of the sheet."""
