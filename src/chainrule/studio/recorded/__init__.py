"""A recorded step as pages ask for it: layers, tree, numbers, and run again with a change."""
