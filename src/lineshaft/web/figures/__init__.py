"""The figures that change with time: looked at once a second, kept for a week, and drawn."""
