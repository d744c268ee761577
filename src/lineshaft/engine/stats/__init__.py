"""What became of jobs: counted by outcome and by failure, noted by the minute, and the jobs themselves for a time."""
