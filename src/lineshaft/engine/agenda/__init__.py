"""What comes due by itself, a slice at a time."""
