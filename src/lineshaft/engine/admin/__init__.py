"""What operators ask for: jobs from elsewhere, queues and sets as a whole; and the chores that it leaves."""
