"""Side by side with the peers: the same training step in Chainrule, PyTorch, JAX and TensorFlow.

``networks.py`` says what is computed, ``with_*.py`` how each library says it, ``worker.py`` is a
process with one contestant, ``race.py`` lets them run in turn, ``report.py`` and ``picture.py``
show the results.
"""
