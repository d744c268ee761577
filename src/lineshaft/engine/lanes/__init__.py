"""The lanes of a queue: which of them may start a job, and whose turn it is."""
