"""How fast and how large skdim is."""
