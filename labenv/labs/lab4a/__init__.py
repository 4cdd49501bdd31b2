"""Lab 4a."""
