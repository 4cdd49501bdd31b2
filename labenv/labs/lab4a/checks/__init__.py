"""The checks of Lab 4a, one module for each part of the sheet."""
