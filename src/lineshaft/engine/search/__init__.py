"""Which jobs are meant, and how they are found; for pages and for bulk actions alike."""
