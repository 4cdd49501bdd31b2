"""Students of a class who write to each other: one world outside for all, and who reaches whom."""
