"""Is it real? The whole reconstruction repeated on particles that were changed, to see what it makes of them."""
