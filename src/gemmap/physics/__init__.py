"""CTF, Fourier transforms and noise."""
