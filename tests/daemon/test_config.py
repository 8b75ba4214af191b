"""Settings: every key from every source, and no bad line that leaves the user mute."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.config import Config, Problem, example, load_config
from voiced.config.keys import KEYS
from voiced.paths import Paths, find_paths

GOOD: dict[str, tuple[object, object]] = {
    # key: (as written in TOML, as the environment and the command line write it)
    "model": ("tone", "tone"),
    "voice": ("en-us", "en-us"),
    "language": ("de", "de"),
    "format": ("flac", "FLAC"),
    "loudness_lufs": (-19, "-19"),
    "speed": (1.5, "1.5"),
    "pitch": (0, "0"),
    "volume": (2, "2"),
    "clause_pause_ms": (0, "0"),
    "sentence_pause_ms": (1, "1"),
    "paragraph_pause_ms": (30000, "30000"),
    "chapter_pause_ms": (60000, "60000"),
    "drop_enabled": (False, "off"),
    "drop_folder": ("In", "In"),
    "audio_folder": ("Out", "Out"),
    "done_folder": ("D", "D"),
    "failed_folder": ("F", "F"),
    "scan_interval_s": (1, "1"),
    "settle_s": (0.5, "0.5"),
    "drop_lane": ("normal", "Normal"),
    "subtitles": ("vtt", "VTT"),
    "chapters": ("folder", "Folder"),
    "drop_sidecars": (False, "no"),
    "max_document_mb": (1, "1"),
    "device": ("cuda:1", "CUDA:1"),
    "strict_device": (True, "yes"),
    "monitor_interval_s": (7.5, "7.5"),
    "keep_gpu_asleep": (False, "0"),
    "mixed_precision": ("bf16", "bf16"),
    "quantization": ("int8", "int8"),
    "torch_compile": ("force", "force"),
    "threads": (3, "3"),
    "hold_on_battery": (False, "no"),
    "keep_awake": (False, "no"),
    "queue_limit": (1, "1"),
    "workers": (2, "2"),
    "keep_alive_s": (-1, "-1"),
    "preload": (["kokoro", "mms:eng"], "kokoro, mms:eng"),
    "prompt_cache_mb": (64, "64"),
    "weight_cache_gb": (2, "2"),
    "segment_chars": (90, "90"),
    "segment_deadline_s": (60, "60"),
    "heartbeat_s": (1, "1"),
    "attempts": (5, "5"),
    "shutdown_timeout_s": (0, "0"),
    "history_days": (0, "0"),
    "log_level": ("debug", "DEBUG"),
}
BAD: dict[str, list[object]] = {
    "format": ["mp7", 3, []],
    "loudness_lufs": [-4, -51, 19, "loud", False, float("nan"), []],
    "speed": [0.2, 5, "fast", True, float("nan"), float("inf"), []],
    "threads": [-1, 1e400, float("inf"), float("nan"), "many", False, {}],
    "model": ["x" * 201, 5, "a\0b"],
    "drop_enabled": ["maybe", 2, []],
    "drop_sidecars": ["mine"],
    "drop_folder": ["", 5, "~nosuchuser-at-all/x", "a\0b"],
    "device": ["tpu", "cuda:", "cuda:x", "cuda:-1", 1],
    "strict_device": ["perhaps"],
    "log_level": ["loud"],
    "keep_alive_s": [-2],
    "preload": [5, [5], {}],
}
CASES = [(key, value) for key, values in BAD.items() for value in values]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = find_paths({"VOICED_ROOT": str(tmp_path)})
    made.config.mkdir(parents=True)
    return made


def written(paths: Paths, text: str) -> tuple[Config, tuple[Problem, ...]]:
    paths.config_file.write_text(text)
    return load_config(paths, {})


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\0", "\\u0000")
        return f'"{escaped}"'
    return str(value)


def wanted(key: str, value: object, paths: Paths) -> object:
    if isinstance(value, list):
        return tuple(value)
    return paths.home / str(value) if key.endswith("_folder") else value


@pytest.mark.parametrize("off", ["off", "OFF", "0", 0, 0.0])
def test_loudness_may_be_off(paths: Paths, off: object) -> None:
    config, problems = load_config(paths, {"VOICED_LOUDNESS_LUFS": "-23"}, {"loudness_lufs": off})
    assert (config.loudness_lufs, problems) == (0.0, ())


def test_the_table_of_this_test_is_whole() -> None:
    assert set(GOOD) == set(KEYS) == set(Config._fields)


def test_without_anything_the_defaults_hold(paths: Paths) -> None:
    config, problems = load_config(paths, {})
    assert problems == ()
    assert config == Config(
        drop_folder=paths.home / "Drop",
        audio_folder=paths.home / "Audio",
        done_folder=paths.home / "Done",
        failed_folder=paths.home / "Failed",
    )


@pytest.mark.parametrize("key", KEYS)
def test_every_key_from_every_source(paths: Paths, key: str) -> None:
    value, shown = GOOD[key]
    default = getattr(load_config(paths, {})[0], key)
    from_file, problems = written(paths, f"[{KEYS[key].table}]\n{key} = {toml(value)}\n")
    assert problems == ()
    assert getattr(from_file, key) == wanted(key, value, paths) != default
    paths.config_file.unlink()
    for name in (f"VOICED_{key.upper()}", *KEYS[key].variables):
        config, problems = load_config(paths, {name: str(shown)})
        assert (getattr(config, key), problems) == (getattr(from_file, key), ())
    assert load_config(paths, {}, {key: shown}) == (from_file, ())


@pytest.mark.parametrize(("key", "value"), CASES)
def test_a_bad_value_costs_its_key_alone(paths: Paths, key: str, value: object) -> None:
    config, problems = load_config(paths, {"VOICED_VOICE": "en-us"}, {key: value})
    assert config.voice == "en-us"
    assert [(problem.source, problem.key) for problem in problems] == [("command line", key)]
    assert KEYS[key].allowed in str(problems[0])
    closed = {"device": "cpu", "strict_device": True, "drop_enabled": False, "drop_sidecars": False}
    if key == "drop_folder":
        assert config.drop_enabled is False
        assert "drop_enabled = false" in problems[0].message
    else:
        assert getattr(config, key) == closed.get(key, Config._field_defaults[key])


@pytest.mark.parametrize(
    "order", ["drop_folder = 5\ndrop_enabled = true", "drop_enabled = true\ndrop_folder = 5"]
)
def test_no_good_line_opens_what_a_bad_one_closed(paths: Paths, order: str) -> None:
    config, problems = written(paths, f"[folders]\n{order}\n")
    assert config.drop_enabled is False
    assert len(problems) == 1


def test_a_higher_source_mends_a_bad_line(paths: Paths) -> None:
    paths.config_file.write_text('[device]\ndevice = "gpu"\n')
    assert load_config(paths, {})[0].device == "cpu"
    config, problems = load_config(paths, {"DEVICE": "cuda"})
    assert config.device == "cuda"
    assert len(problems) == 1


def test_the_order_of_the_sources(paths: Paths) -> None:
    paths.config_file.write_text(
        '[speech]\nvoice = "file"\nmodel = "file"\nlanguage = "file"\nformat = "flac"\n'
    )
    (paths.config / ".env").write_text(
        "# a comment\n\nexport VOICED_MODEL='dotenv'\nVOICED_LANGUAGE=dotenv\nno equals sign\nVOICED_VOICE=\n"
    )
    config, _ = load_config(paths, {"VOICED_LANGUAGE": "environment"}, {"format": "wav"})
    assert (config.voice, config.model, config.language, config.format) == (
        "file",
        "dotenv",
        "environment",
        "wav",
    )


@pytest.mark.parametrize(
    ("environ", "key", "value"),
    [
        ({"DEVICE": "cpu", "VOICED_DEVICE": "mps"}, "device", "mps"),
        ({"OMP_NUM_THREADS": "2"}, "threads", 2),
        ({"ENABLE_TORCH_COMPILE": "true"}, "torch_compile", "true"),
        ({"ENABLE_TORCH_COMPILE": "false", "FORCE_TORCH_COMPILE": "1"}, "torch_compile", "force"),
        ({"FORCE_TORCH_COMPILE": "0"}, "torch_compile", "auto"),
        ({"MIXED_PRECISION": "fp16"}, "mixed_precision", "fp16"),
        ({"QUANTIZATION": "none"}, "quantization", "none"),
    ],
)
def test_the_names_that_others_use(paths: Paths, environ: dict[str, str], key: str, value: object) -> None:
    config, problems = load_config(paths, environ)
    assert (getattr(config, key), problems) == (value, ())


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("[speech]\nspede = 2", "did you mean speech.speed"),
        ("[speech]\nzzzz = 2", "no such setting"),
        ("[device]\nspeed = 2", r"belongs into the table \[speech\]"),
        ("speed = 2", "stands outside a table"),
        ("[nowhere]\nspeed = 2", r"belongs into the table \[speech\]"),
    ],
)
def test_an_unknown_key_is_told(paths: Paths, line: str, hint: str) -> None:
    config, problems = written(paths, f"{line}\n[speech.more]\n")
    assert config.speed == 1.0
    assert any(re.search(hint, str(problem)) for problem in problems)


@pytest.mark.parametrize(
    ("bad", "number"),
    [("speed 2", 2), ("speed = = 2", 2), ('speed = "', 2), ("speed = 3\nspeed = 3", 3), ("[speech", 2)],
)
def test_one_line_that_is_no_toml_costs_itself(paths: Paths, bad: str, number: int) -> None:
    config, problems = written(paths, f'[speech]\n{bad}\nvoice = "en-us"\n[daemon]\nattempts = 7\n')
    assert (config.voice, config.attempts) == ("en-us", 7)
    assert [problem.message for problem in problems] == [f"line {number} is no TOML and was left out"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"= \n" * 50, b"[[[\n]]]", b'"""'])
def test_a_file_of_nonsense_leaves_the_defaults(paths: Paths, content: bytes) -> None:
    paths.config_file.write_bytes(content)
    config, problems = load_config(paths, {})
    assert config == load_config(find_paths({"VOICED_ROOT": str(paths.home.parent)}), {})[0]
    assert config.model == "espeak"
    assert problems


def test_a_folder_in_the_files_place_is_a_problem(paths: Paths) -> None:
    paths.config_file.mkdir()
    config, problems = load_config(paths, {})
    assert config.model == "espeak"
    assert "cannot be read" in problems[0].message


@given(st.text(max_size=200))
def test_no_text_at_all_raises(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    paths = find_paths({"VOICED_ROOT": str(tmp_path_factory.getbasetemp())})
    paths.config.mkdir(exist_ok=True)
    paths.config_file.write_text(text, encoding="utf-8")
    load_config(paths, {})


@given(
    st.sampled_from(list(KEYS)),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
)
def test_no_value_at_all_raises(key: str, value: Any) -> None:
    load_config(find_paths({"VOICED_ROOT": "/nowhere/at/all"}), {}, {key: value})


@pytest.mark.parametrize("sign", ["# ", ""])
def test_the_example_is_the_defaults(paths: Paths, sign: str) -> None:
    lines = example().splitlines()
    if not sign:
        # As somebody who takes the # from every setting.
        lines = [
            line.removeprefix("# ")
            if line.startswith("# ") and line[2:].partition(" = ")[0] in KEYS
            else line
            for line in lines
        ]
    config, problems = written(paths, "\n".join(lines))
    assert problems == ()
    assert config == load_config(paths, {})[0]
    paths.config_file.unlink()
    assert config == load_config(paths, {})[0]
    assert sign or set(KEYS) == {key for table in tomllib.loads("\n".join(lines)).values() for key in table}


def test_folders_may_be_absolute_or_below_home(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    config, _ = load_config(
        paths, {}, {"drop_folder": "/srv/in", "audio_folder": "~/out", "done_folder": "a/b"}
    )
    assert config.drop_folder == Path("/srv/in")
    assert config.audio_folder == Path("/home/somebody/out")
    assert config.done_folder == paths.home / "a/b"
