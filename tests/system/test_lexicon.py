"""The lexicon in the real daemon: heard in every way that a text comes in, read again, and told where it is wrong."""

from pathlib import Path

from tests.support import Home, running_daemon, wait_for
from voiced_ipc import Client
from voiced_ipc import messages as m

TEXT = "The old man says a long word here, which is nothing at all but Popocatepetl."
WITHOUT = TEXT.replace("Popocatepetl", "it")


def _write(home: Home, content: str) -> None:
    home.paths.config.mkdir(exist_ok=True)
    home.paths.lexicon_file.write_text(content)


def _file_bytes(client: Client, text: str) -> int:
    job_id = client.submit_text(text, name="story.txt").job_id
    over = (m.JobState.DONE, m.JobState.FAILED)
    job = wait_for(lambda: job if (job := client.job(job_id)).state in over else None, 20.0, "the file")
    assert job.state is m.JobState.DONE
    return Path(job.path).stat().st_size


def test_a_word_is_spoken_as_the_lexicon_says(home: Home) -> None:
    with running_daemon(home) as daemon, daemon.client() as client:
        expected = client.synthesize(WITHOUT, language="en")[0]
        expected_file = _file_bytes(client, WITHOUT)
        written = client.synthesize(TEXT, language="en")[0]
        assert written != expected
        _write(home, '[[entry]]\nword = "Popocatepetl"\nspoken = "it"\nlanguage = "en"\n')
        client.reload()
        assert client.synthesize(TEXT, language="en")[0] == expected, "planned in the daemon"
        assert client.synthesize(TEXT)[0] == expected, "planned by the scribe"
        assert _file_bytes(client, TEXT) == expected_file
        home.paths.lexicon_file.unlink()
        client.reload()
        assert client.synthesize(TEXT, language="en")[0] == written


def test_what_is_wrong_in_it_is_a_problem_and_no_more(home: Home) -> None:
    good = '[[entry]]\nword = "Popocatepetl"\nspoken = "it"\n'
    _write(home, good + '[[entry]]\nword = "b"\n')
    with running_daemon(home) as daemon, daemon.client() as client:
        status = client.status()
        assert status.status is m.Health.DEGRADED
        assert any("entry 2 ('b'): spoken is missing" in problem for problem in status.problems)
        heard = client.synthesize(TEXT, language="en")[0]
        assert heard == client.synthesize(WITHOUT, language="en")[0]
        _write(home, good)
        client.reload()
        assert client.status().problems == []
