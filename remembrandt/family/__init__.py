"""Families: base models on disk, and the three things asked of one: encode, decode, denoise.

Read `family.py` (what one is), then `load.py` (where it comes from); `weights.py` reads and writes
safetensors, `single_file.py` translates the names of CompVis checkpoints.
"""
