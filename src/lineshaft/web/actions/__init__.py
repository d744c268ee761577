"""What is more than looking, for pages and API alike: how it is asked for, how it is done and noted."""
