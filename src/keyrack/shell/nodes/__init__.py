"""Several nodes over one catalog: how they come to be, what one does for all, and when one shuts its door."""
