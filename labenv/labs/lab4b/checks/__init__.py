"""The checks of Lab 4b, one module for each section of the sheet."""
