"""The memory: what a model was taught, how it is called up, and what is left of it.

Read `lesson.py` first: one lesson from photos to a published concept, on a page.
"""
