"""What students hand in: packed by `submit`, read by `review` and by the grades of a class."""
