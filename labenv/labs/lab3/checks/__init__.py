"""The checks of Lab 3, one module for each part of the sheet."""
