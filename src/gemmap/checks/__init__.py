"""What can be known about particles before anything is computed: a table of facts, and verdicts."""
