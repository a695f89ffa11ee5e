"""Where the child trains, and how much of the time: beside a server that paints."""

import io
import json
import threading

import pytest

from remembrandt.jobs import trainer, worker
from remembrandt.jobs.files import Files, Home
from remembrandt.jobs.runner import Stopped
from remembrandt.report import Event, silent
from remembrandt.store.rows import Job
from tests.serving.working import on


class Ended(io.BytesIO):
    """A child that ends at once; what it was told is `said`."""

    pid, stdout, said = 0, (), b""

    def close(self):
        self.said = self.said or self.getvalue()
        super().close()

    def wait(self, timeout=None):
        return 0


@pytest.mark.parametrize(
    ("device", "seen", "count", "wanted"),
    [
        ("cuda", None, 2, "1"), ("cuda", "2,5", 2, "5"), (None, "GPU-a, GPU-b", 2, "GPU-b"), ("cuda", "", 2, "1"),
        ("cuda", "3", 1, None), ("cpu", None, 2, None), ("cuda:1", None, 2, None), ("mps", None, 0, None),
    ],
)  # fmt: skip
def test_the_second_accelerator_trains(tmp_path, monkeypatch, device, seen, count, wanted):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if seen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    given, child = [], Ended()
    child.stdin = child

    def spawn(folder, more):
        given.append(more)
        return child

    service = on(tmp_path / "home", share=0.25)
    service._store(create=True)
    job = Job("k", "export", None, "running", {"device": device})
    running, files = service.worker(spawn=spawn), Files(Home(tmp_path / "home"), "k", None)
    files.folder.mkdir(parents=True)
    with pytest.raises(Stopped, match="ended with code 0"):
        running._train(job, job, files, silent, threading.Event())
    assert given == [{"CUDA_VISIBLE_DEVICES": wanted} if wanted else {}]
    assert json.loads(child.said)["share"] == 0.25
    assert worker._second(job) == given[0]


def test_a_share_leaves_the_rest_of_the_time(monkeypatch):
    """After a step of a second, a quarter means three of rest; never more than ten; what is no step is not paid for."""
    clock, rests = [0.0], []

    class Stop:
        def wait(self, seconds):
            rests.append(seconds)
            clock[0] += seconds

        def is_set(self):
            return False

    monkeypatch.setattr(trainer.time, "monotonic", lambda: clock[0])
    for share, wanted in ((0.25, [3.0, 10.0]), (0.5, [1.0, 10.0]), (1.0, [])):
        rests.clear()
        tell = trainer._progress(lambda document: None, Stop(), share)
        for seconds, loss in ((1.0, 0.5), (7.0, None), (20.0, 0.5)):
            clock[0] += seconds
            tell(Event("teaching", 1, 9, loss))
        assert rests == wanted


def test_a_child_that_is_stopped_raises_after_its_step():
    stop = threading.Event()
    stop.set()
    with pytest.raises(KeyboardInterrupt):
        trainer._progress(lambda document: None, stop, 0.01)(Event("teaching", 1, 9, 0.5))
