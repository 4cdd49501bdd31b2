"""What a class does with its environments: all of its students at once, as many at a time as the computer bears."""
