"""The checks of Lab 6, one module for each part of the sheet."""
