"""Training: one loop over weighted examples, and the methods that say what moves.

Read `loop.py`, `examples.py`, `method.py` (what methods share), then a method, then `methods.py`
(the table).
"""
