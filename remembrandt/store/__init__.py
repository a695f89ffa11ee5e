"""What is remembered between runs: rows in one SQL database.

Read `schema.py`, `rows.py`, then `store.py`. Weights and pictures are files (`jobs/files.py` says
where); nothing here imports torch.
"""
