"""What is on the wire: packets taken apart, and told as the dialogue that they carry."""
