"""The steps of a whole run, for notebooks and the command line alike; ``gemmap`` itself names the public functions."""
