"""Plans as machine code: LLVM text written in Python, compiled and kept by llvmlite.

The rooms: ``text.py`` how a function's text is written; ``scalar.py`` the scalar functions of the
formulas (exp, tanh, …); ``emit.py`` Map and Reduce kernels, ``contract.py`` the register tile;
``engine.py`` text -> object -> address, and the cache of objects; ``workers.py`` the threads.
"""
