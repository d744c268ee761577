"""What the engine shows of itself. Views read in bounded slices and change nothing."""
