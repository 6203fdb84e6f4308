"""The convolution lab: what it filters, and all that follows from it."""
