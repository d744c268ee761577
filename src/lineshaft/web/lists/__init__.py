"""Jobs and queues in lists, for pages and API alike: which are meant, how they are found, how a page lists them."""
