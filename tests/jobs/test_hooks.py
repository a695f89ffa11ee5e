"""Webhooks: where they may go, signatures, retries for a day."""

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from remembrandt.jobs import hooks
from remembrandt.jobs.hooks import Hooks, checked
from remembrandt.settings import Wrong
from remembrandt.store import outbox, users
from remembrandt.store.store import Store
from tests.homes import logged

INNER = (
    "http://127.0.0.1/x", "http://localhost:9/", "http://10.0.0.1", "http://169.254.169.254/latest", "http://[::1]/",
    "http://[::ffff:10.0.0.1]/", "http://printer.local/", "http://0.0.0.0/", "http://100.64.0.1/", "http://224.0.0.1/",
)  # fmt: skip


@pytest.mark.parametrize("url", INNER)
def test_our_own_network_is_closed(url):
    with pytest.raises(Wrong, match="private network"):
        checked(url)
    assert checked(url, private=True) == url


@pytest.mark.parametrize(
    "url", ["ftp://example.com", "example.com", "http://", "http://u:p@example.com", "http://[x", "file:///etc", "http://a.b/\x7f"]
)
def test_what_is_no_webhook(url):
    with pytest.raises(Wrong):
        checked(url, private=True)


def test_a_name_that_means_our_own_network_is_closed_when_it_is_asked(monkeypatch, tmp_path):
    made = Hooks.__new__(Hooks)
    made._private = False
    monkeypatch.setattr(hooks.socket, "getaddrinfo", lambda *a, **k: [(0, 0, 0, "", ("192.168.0.7", 80))])
    with pytest.raises(Wrong, match="private network"):
        made._where("https://good.example/x")
    monkeypatch.setattr(hooks.socket, "getaddrinfo", lambda *a, **k: [(0, 0, 0, "", ("93.184.216.34", 443))])
    where, (headers, how) = made._where("https://good.example/x")
    assert str(where) == "https://93.184.216.34/x" and headers == {"host": "good.example"}
    assert how == {"sni_hostname": "good.example"}


class Receiver(BaseHTTPRequestHandler):
    answers, come = [500, 302, 200], []

    def do_POST(self):
        self.come.append((dict(self.headers), self.rfile.read(int(self.headers["content-length"])).decode()))
        self.send_response(self.answers[min(len(self.come), 3) - 1])
        self.send_header("location", "/elsewhere")
        self.end_headers()

    def log_message(self, *said):
        pass


def test_an_event_is_signed_and_tried_until_it_arrives(tmp_path):
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    store = Store(tmp_path, create=True)
    hook = {"url": f"http://127.0.0.1:{server.server_port}/", "events": ["canceled"]}
    job = store.queue("generate", {"requests": []}, webhook=hook)
    store.finish(job, "canceled")
    sender = Hooks(store, lambda delivery: {"seq": delivery.seq, "kind": delivery.kind}, private=True)
    sender.close()
    with logged() as lines:
        for tries in range(3):
            [delivery] = outbox.due(store, time.time() + 90_000)
            assert delivery.tries == tries
            sender.deliver(delivery)
    server.shutdown()
    assert [(line["job"], line["level"]) for line in lines()] == [(job.id, "warning")] * 2  # of those that failed
    assert "tried again in 5 s: answered 500" in lines()[0]["message"]
    [delivery] = outbox.deliveries(store, job.id)
    assert delivery.delivered and delivery.status == 200 and not outbox.due(store, time.time() + 1e6)
    (first, body), *others = Receiver.come
    assert all(told == body and h["webhook-id"] == first["webhook-id"] for h, told in others)
    headers = {k.lower(): v for k, v in first.items()}
    key = users.secret(store, "local" if users.user(store, "local") else "")
    assert Webhook(key).verify(body, headers) == {"seq": 1, "kind": "canceled"}
    with pytest.raises(WebhookVerificationError):
        Webhook(key).verify(body.replace("1", "2"), headers)
    outbox.replay(store, delivery.id)
    assert len(outbox.due(store, time.time())) == 1


def test_a_message_that_cannot_be_sent_stops_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(hooks, "PACE", 0.01)
    store, seen = Store(tmp_path, create=True), threading.Event()
    for url in ("http://a.b/\x7f", "http://127.0.0.1:9/"):  # the first as an older version let it in
        job = store.queue("generate", {"requests": []}, webhook={"url": url, "events": ["canceled"]})
        store.finish(job, "canceled")

    def body(delivery):
        if delivery.url.endswith("/"):
            seen.set()
        return {}

    sender = Hooks(store, body, private=True)
    assert seen.wait(10)
    sender.close()


def test_a_slow_receiver_delays_nobody_else(tmp_path, monkeypatch):
    monkeypatch.setattr(hooks, "PACE", 0.01)
    store, free, come, fast = Store(tmp_path, create=True), threading.Event(), [], threading.Event()
    ann, bob = (users.add(store, name)[0].id for name in ("ann", "bob"))

    def send(self, delivery):  # instead of the network
        come.append((delivery.owner, delivery.job, delivery.seq))
        if delivery.owner == bob:
            fast.set()
        else:
            assert free.wait(30)
        return 204

    monkeypatch.setattr(Hooks, "_send", send)
    for owner, jobs in ((ann, hooks.EACH + 2), (bob, 1)):
        for _ in range(jobs):
            hook = {"url": "http://x.y/", "events": ["progress"]}
            job = store.of(owner).queue("generate", {"requests": []}, webhook=hook)
            for _ in range(3):
                store.tell(job, {"step": 1, "total": 3})
    sender = Hooks(store, lambda delivery: {}, private=True)
    assert fast.wait(30)  # though all of ann's wait
    assert len([owner for owner, *_ in come if owner == ann]) <= hooks.EACH
    assert len({job for owner, job, _ in come if owner == ann}) == len([o for o, *_ in come if o == ann])
    free.set()
    until = time.monotonic() + 60
    while outbox.due(store, time.time()) and time.monotonic() < until:
        time.sleep(0.05)
    assert sender.alive
    sender.close()
    assert len(come) == len(set(come)) == 3 * (hooks.EACH + 3)
    for job in {job for _, job, _ in come}:
        assert [seq for _, key, seq in come if key == job] == [1, 2, 3]  # in their order


def test_it_is_tried_for_a_day():
    assert 20 * 3600 <= sum(hooks.WAITS) <= 28 * 3600
