"""RUN: from a program or a plan to numbers."""
