"""The server as a process: its sign-in link, and that Ctrl-C ends it."""

import json
import re
import signal
import subprocess
import threading
import time

import httpx
import pytest
import uvicorn
from sqlalchemy import event
from typer.testing import CliRunner

from remembrandt import serving
from remembrandt.app import build
from remembrandt.cli import app as command
from remembrandt.cli.serving import loopback
from remembrandt.jobs.holding import held, holder
from remembrandt.settings import Settings, Wrong
from remembrandt.store import users
from remembrandt.store.store import Store
from tests.homes import REMEMBRANDT, environment


def test_serve_until_it_is_interrupted(tmp_path, capsys):
    words = [*REMEMBRANDT, "serve", "--port", "0", "--home", str(tmp_path / "home"), "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, env=environment(), **pipes) as running:
        try:
            link = re.search(r"http://\S+", running.stderr.readline())[0]
            url = link.split("/sign-in")[0]
            assert url in running.stderr.readline()
            with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
                for _ in range(100):
                    try:
                        assert http.get("/healthz").status_code == 200
                        break
                    except httpx.ConnectError:
                        pass
                assert http.get("/models").status_code == 401
                assert http.get(link).status_code == 303 and http.get("/models").status_code == 200
                assert httpx.get(link, timeout=60, trust_env=False).status_code == 401
                assert holder(tmp_path / "home") == url
                with pytest.raises(SystemExit, match="2"):
                    command(["clean", "--home", str(tmp_path / "home")])
                assert url in capsys.readouterr().err
        finally:
            running.send_signal(signal.SIGTERM)  # as Ctrl-C
        said, told = running.communicate(timeout=60)
    assert running.returncode == 0 and json.loads(said)["url"] == url
    assert holder(tmp_path / "home") is None
    lines = [json.loads(line) for line in told.splitlines()]  # each is one event
    [seen] = [line for line in lines if line["message"] == "GET /models 200"]
    assert seen["user"] == "local" and {"time", "level", "logger", "client", "status"} <= seen.keys()
    assert any(line["message"] == "GET /sign-in 303" for line in lines) and link.split("=")[1] not in told


def test_a_stop_waits_for_no_stream_and_the_worker_hears_of_it_first(tmp_path):
    home, store = tmp_path / "home", Store(tmp_path / "home", create=True)
    ann, token = users.add(store, "ann")
    job = store.of(ann.id).queue("export", {}, priority=None)  # no worker takes it: its stream has no end
    app = build(Settings(home))
    with serving.listening("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/jobs/{job.id}/events"
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=600))
        serving.stops(server, app)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        headers = {"authorization": f"Bearer {token}"}
        with httpx.Client(headers=headers, timeout=60, trust_env=False) as http, http.stream("GET", url) as stream:
            assert stream.status_code == 200
            asked = []
            listen = lambda *given: asked.append(given[2])  # noqa: E731
            event.listen(app.state.desk.store.engine, "before_cursor_execute", listen)
            while sum("jobs.seq, jobs.state" in query for query in asked) < 3:
                time.sleep(0.05)
            assert not [query for query in asked if "FROM events" in query]  # a stream asks one short question a time
            worker, began = app.state.worker, time.monotonic()
            assert worker.alive and not worker.halted
            server.handle_exit(signal.SIGTERM, None)
            assert worker.halted  # at once: what it does until the streams are closed is its checkpoint
            assert list(stream.iter_lines()) == []
        thread.join(60)
    took = time.monotonic() - began
    print(f"stopped after {took:.1f} s")
    assert not thread.is_alive() and not worker.alive and took < 60


def test_who_holds_a_home(tmp_path):
    with held(tmp_path, "http://x"):
        assert holder(tmp_path) == "http://x"
        (tmp_path / "server.json").write_text('{"url": "http://x", "worker": "1 2 3"}')  # of a process that is gone
        assert holder(tmp_path) is None
    assert holder(tmp_path) is None and not list(tmp_path.iterdir())


def test_what_changes_models_does_nothing_beside_a_server(tmp_path):
    with held(tmp_path, "http://x"):
        for words in (["clean"], ["models", "versions", "--pick", "3"]):
            done = CliRunner().invoke(command, [*words, "--home", str(tmp_path)])
            assert done.exit_code == 2 and "http://x" in done.stderr
        assert CliRunner().invoke(command, ["jobs", "list", "--home", str(tmp_path)]).exit_code == 0


def test_others_are_let_in_only_where_there_are_users(tmp_path):
    assert loopback("127.0.0.1") and loopback("::1") and loopback("localhost") and not loopback("0.0.0.0")
    say = pytest.fail
    with pytest.raises(Wrong, match="users add"):
        serving.serve(Settings(tmp_path / "home"), "0.0.0.0", 0, private_webhooks=False, loopback=False, say=say)
    assert not list(tmp_path.iterdir())
    with serving.listening("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        with pytest.raises(Wrong, match="cannot listen"):
            serving.listening("127.0.0.1", port)
