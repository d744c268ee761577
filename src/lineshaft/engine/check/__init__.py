"""What must be true of a store, held against all of it: the laws by kind of row."""
