"""The server as a process: its sign-in link, and that Ctrl-C ends it."""

import json
import re
import signal
import subprocess

import httpx
import pytest
from typer.testing import CliRunner

from remembrandt import serving
from remembrandt.cli import app
from remembrandt.cli.serving import loopback
from remembrandt.jobs.holding import held, holder
from remembrandt.settings import Settings, Wrong
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
                    app(["clean", "--home", str(tmp_path / "home")])
                assert url in capsys.readouterr().err
        finally:
            running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=60)
    assert running.returncode == 0 and json.loads(said)["url"] == url
    assert holder(tmp_path / "home") is None


def test_who_holds_a_home(tmp_path):
    with held(tmp_path, "http://x"):
        assert holder(tmp_path) == "http://x"
        (tmp_path / "server.json").write_text('{"url": "http://x", "worker": "1 2 3"}')  # of a process that is gone
        assert holder(tmp_path) is None
    assert holder(tmp_path) is None and not list(tmp_path.iterdir())


def test_what_changes_models_does_nothing_beside_a_server(tmp_path):
    with held(tmp_path, "http://x"):
        for words in (["clean"], ["models", "versions", "--pick", "3"]):
            done = CliRunner().invoke(app, [*words, "--home", str(tmp_path)])
            assert done.exit_code == 2 and "http://x" in done.stderr
        assert CliRunner().invoke(app, ["jobs", "list", "--home", str(tmp_path)]).exit_code == 0


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
