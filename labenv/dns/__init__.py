"""What labs about the DNS share."""
