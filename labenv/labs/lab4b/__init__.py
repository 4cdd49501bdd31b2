"""Lab 4b."""
