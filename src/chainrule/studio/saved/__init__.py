"""Pages as files that open without Python and without a network."""
