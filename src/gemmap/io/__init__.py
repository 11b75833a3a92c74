"""Files to values and back, nothing else."""
