"""Jobs: what takes longer than a request should.

`work.py` says what each kind of job does, `runner.py` claims, records and publishes, `files.py`
says where everything lies.
"""
