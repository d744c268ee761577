"""The search: a process beside the server that looks through the jobs, so that the server's loop need not."""
