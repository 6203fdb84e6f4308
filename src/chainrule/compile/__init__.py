"""COMPILE: from a graph to a plan of fused kernels. Pure data to data, no backend is named here."""
