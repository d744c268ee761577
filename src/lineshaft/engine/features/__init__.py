"""Features of jobs: what a job may ask for beyond its run. Each hooks into moves by way of `feature`."""
