"""HTTP, by noun: `native`, `models`, `keeping`, then the two that people hold clients for, `openai` and `replicate`.

Who asks is settled by `auth` before any route is looked up; `problems` says what went wrong, in one form for all.
"""
