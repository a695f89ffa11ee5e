"""A job belongs to a process for as long as that very process lives."""

import subprocess
import sys

from remembrandt.jobs.process import alive, me
from tests.homes import environment

CODE = "from remembrandt.jobs.process import me; print(me(), flush=True); input()"


def test_this_process_lives():
    assert alive(me())


def test_another_lives_until_it_is_killed():
    child = subprocess.Popen(
        [sys.executable, "-c", CODE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    worker = child.stdout.readline().strip()
    assert worker != me() and alive(worker)
    child.kill()
    child.wait()
    assert not alive(worker)


def test_a_number_that_was_given_again_is_another_process():
    pid, started, boot = me().split(" ")
    assert not alive(f"{pid} {started}0 {boot}")
    assert not alive(f"{pid} {started} another-boot")


def test_nonsense_is_dead():
    assert not any(alive(word) for word in ("", "1", "a b c", "1 2 3 4"))
