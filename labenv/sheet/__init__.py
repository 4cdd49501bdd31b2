"""A student's work on the sheet: progress, what to do next, hints, solutions, the log book, watching, drills."""
