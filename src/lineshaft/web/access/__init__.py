"""Who comes in, what each may do, and the record of what was done. It knows nothing of jobs, nor of any page."""
