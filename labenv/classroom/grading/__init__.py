"""Grades: points for what was judged, by whom and from what, kept over time."""
