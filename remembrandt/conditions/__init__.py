"""Conditions: what steers a picture besides noise. `condition.py` is the shape, `text.py` words."""
