"""Adapters: small tensors that change what a frozen network does for the rows that wear them.

Read `adapter.py` (what one is, and its files), then `oft.py` (the rotation), then `wear.py` (who
wears what in a batch).
"""
