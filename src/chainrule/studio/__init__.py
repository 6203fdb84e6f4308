"""The studio: runs, their values and their error signals in the browser.

``serve`` is the whole of it: a server on this machine alone (``server.py``) whose door is guarded
(``access.py``), which hands out the built pages (``pages.py``) and answers them under ``/api``
(``app.py``): what the runs' folders hold (``runs.py``), recorded steps (``recorded/``), trainings
(``training/``), the lab (``lab/``), and what changes while somebody looks (``live.py``).
"""
