"""A page that shows a run while it goes on, and the small server behind it."""
