"""The checks of Lab 7, one module for each part of the sheet."""
