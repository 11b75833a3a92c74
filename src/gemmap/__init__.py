"""GEM: cryo-EM reconstruction with 3D Gaussians."""
