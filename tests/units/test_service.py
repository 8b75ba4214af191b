"""Installing, starting and asking, with a service manager that only takes notes."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from voiced import service
from voiced.service import Completed, Host, InstalledService, ServiceError, ServiceStatus, launchd, systemd
from voiced.service.template import read_template


class Notes:
    """Plays systemctl and launchctl: writes down what was asked, and answers what it was told."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.environ: Mapping[str, str] = {}
        self.answers: dict[str, Completed] = {}

    def __call__(self, words: Sequence[str], environ: Mapping[str, str]) -> Completed:
        command = " ".join(words).removeprefix("systemctl --user --no-pager ").removeprefix("launchctl ")
        self.commands.append(command)
        self.environ = environ
        return next(
            (answer for verb, answer in self.answers.items() if command.startswith(verb)), Completed(0, "")
        )


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def linux(tmp_path: Path, notes: Notes) -> Host:
    return Host("linux", tmp_path, 1000, {"XDG_RUNTIME_DIR": "/r"}, notes, (tmp_path / "lib",))


@pytest.fixture
def mac(tmp_path: Path, notes: Notes) -> Host:
    return Host("darwin", tmp_path, 501, {}, notes)


PROGRAM = Path("/bin/true")


def own(host: Host, unit: str) -> Path:
    return host.home / ".config/systemd/user" / unit


def test_nothing_is_installed_at_first(linux: Host, mac: Host, notes: Notes) -> None:
    for host in (linux, mac):
        assert service.find_service(host) is None
        assert service.status(host) == ServiceStatus(None)
        for act in (service.start, service.stop):
            with pytest.raises(ServiceError, match="voiced service install"):
                act(host)
    assert notes.commands == []


def test_install_at_login(linux: Host, notes: Notes) -> None:
    found = service.install(PROGRAM, host=linux)
    assert found == InstalledService("systemd", own(linux, "voiced.service"), "/bin/true", False)
    assert service.find_service(linux) == found
    assert 'ExecStart="/bin/true" run\n' in found.file.read_text()
    assert not own(linux, "voiced.socket").exists()
    assert not own(linux, "voiced-tray.service").exists()
    assert notes.commands == [
        "show-environment",
        "daemon-reload",
        "reset-failed voiced.service",
        "enable voiced.service",
        "restart voiced.service",
    ]


def test_install_again_changes_the_program(linux: Host) -> None:
    service.install(PROGRAM, host=linux)
    assert service.install(Path("/bin/false"), host=linux).program == "/bin/false"


def test_install_on_demand_and_with_the_tray(linux: Host, notes: Notes) -> None:
    service.install(PROGRAM, on_demand=True, tray=True, host=linux)
    assert notes.commands[3:] == [
        "disable --now voiced.service",
        "enable voiced.socket voiced-tray.service",
        "restart voiced.socket",
    ]
    assert 'ExecStart="/bin/true" tray --wait\n' in own(linux, "voiced-tray.service").read_text()
    wants = own(linux, "sockets.target.wants")
    wants.mkdir()
    (wants / "voiced.socket").symlink_to(own(linux, "voiced.socket"))
    found = service.find_service(linux)
    assert found is not None
    assert found.is_on_demand
    notes.commands.clear()
    service.start(linux)
    service.stop(linux)
    assert notes.commands == [
        "reset-failed voiced.service",
        "start voiced.socket voiced.service",
        "stop voiced.socket voiced.service",
    ]


def test_from_on_demand_back_to_login(linux: Host, notes: Notes) -> None:
    service.install(PROGRAM, on_demand=True, host=linux)
    notes.commands.clear()
    service.install(PROGRAM, host=linux)
    assert notes.commands[:2] == ["show-environment", "disable --now voiced.socket"]
    assert not own(linux, "voiced.socket").exists()


def test_uninstall_leaves_nothing(linux: Host, notes: Notes) -> None:
    service.install(PROGRAM, on_demand=True, tray=True, host=linux)
    notes.commands.clear()
    removed = service.uninstall(linux)
    assert {file.name for file in removed} == {"voiced.service", "voiced.socket", "voiced-tray.service"}
    assert notes.commands == [
        "disable --now voiced.socket voiced.service voiced-tray.service",
        "daemon-reload",
    ]
    assert service.find_service(linux) is None
    assert service.uninstall(linux) == ()


def package_unit(host: Host) -> Path:
    """Lay down the unit that a distribution's package would bring."""
    unit = host.shared_unit_folders[0] / "voiced.service"
    unit.parent.mkdir()
    unit.write_text("[Service]\nExecStart=/usr/bin/voiced run\n")
    return unit


def test_a_packages_units_are_found_and_stay(linux: Host, notes: Notes) -> None:
    shared = package_unit(linux)
    found = service.find_service(linux)
    assert found is not None
    assert (found.file, found.program) == (shared, "/usr/bin/voiced")
    assert service.uninstall(linux) == ()
    assert notes.commands[0] == "disable --now voiced.service"
    assert shared.exists()


@pytest.mark.parametrize("is_link", [True, False])
def test_a_masked_unit_is_not_installed(linux: Host, is_link: bool) -> None:
    package_unit(linux)
    mask = own(linux, "voiced.service")
    mask.parent.mkdir(parents=True)
    if is_link:
        mask.symlink_to("/dev/null")
    else:
        mask.touch()
    assert service.find_service(linux) is None


@pytest.mark.parametrize("name", ["VOICED_ENDPOINT", "VOICED_ROOT"])
def test_another_daemon_is_not_the_services(linux: Host, name: str) -> None:
    service.install(PROGRAM, host=linux)
    elsewhere = linux._replace(environ={name: "/tmp/x"})
    assert service.find_service(elsewhere) is None
    assert service.status(elsewhere).installed is not None


def test_xdg_config_home_is_honoured(linux: Host, tmp_path: Path) -> None:
    moved = linux._replace(environ={"XDG_CONFIG_HOME": str(tmp_path / "c")})
    assert service.install(PROGRAM, host=moved).file == tmp_path / "c/systemd/user/voiced.service"


@pytest.mark.parametrize(
    ("program", "reason"),
    [("voiced", "full path"), ("/nothing/voiced", "cannot be started"), ("/etc/passwd", "full")],
)
def test_a_program_that_cannot_run_is_refused(linux: Host, notes: Notes, program: str, reason: str) -> None:
    with pytest.raises(ServiceError, match=reason):
        service.install(Path(program), host=linux)
    assert notes.commands == []


@pytest.mark.parametrize("name", ["it's", 'q"q', "b\\s", "new\nline"])
def test_a_path_that_systemd_refuses_is_refused_by_us(linux: Host, tmp_path: Path, name: str) -> None:
    program = tmp_path / name
    program.symlink_to("/bin/true")
    with pytest.raises(ServiceError, match="quotes or backslashes"):
        service.install(program, host=linux)
    assert not own(linux, "voiced.service").exists()


def test_no_user_manager(linux: Host, notes: Notes) -> None:
    notes.answers["show-environment"] = Completed(1, "Failed to connect to bus: No medium found\n")
    with pytest.raises(ServiceError, match="enable-linger"):
        service.install(PROGRAM, host=linux)
    assert not own(linux, "voiced.service").exists()


def test_a_start_that_fails_names_the_journal(linux: Host, notes: Notes) -> None:
    service.install(PROGRAM, host=linux)
    notes.answers["start"] = Completed(1, "Job for voiced.service failed.\n")
    with pytest.raises(ServiceError, match=r"Job for voiced.service failed\.; `journalctl --user -u voiced`"):
        service.start(linux)


@pytest.mark.process
def test_no_systemctl(linux: Host) -> None:
    real = service.this_host().run
    missing = linux._replace(run=lambda words, environ: real(["/nothing/systemctl"], environ))
    with pytest.raises(ServiceError, match="systemctl is not on this system"):
        service.install(PROGRAM, host=missing)


def test_a_manager_that_hangs(linux: Host) -> None:
    def hang(words: Sequence[str], environ: Mapping[str, str]) -> Completed:
        raise subprocess.TimeoutExpired(list(words), 90)

    with pytest.raises(ServiceError, match="did not end within 90 s"):
        service.install(PROGRAM, host=linux._replace(run=hang))


@pytest.mark.process
def test_the_real_run_gives_both_outputs_and_the_code() -> None:
    done = service.this_host().run(["sh", "-c", 'echo "$A"; echo two >&2; exit 3'], {"A": "one"})
    assert done == Completed(3, "one\ntwo\n")


def test_windows_has_no_service(linux: Host) -> None:
    windows = linux._replace(platform="win32")
    assert service.find_service(windows) is None
    with pytest.raises(ServiceError, match="let your desktop start"):
        service.install(PROGRAM, host=windows)


SHOWN = """\
ActiveState=active
SubState=running
Result=success
UnitFileState=enabled
MainPID=4711
StatusText=2 jobs, cpu = free
NRestarts=3
"""


def test_status_of_systemd(linux: Host, notes: Notes) -> None:
    found = service.install(PROGRAM, host=linux)
    notes.answers["show voiced.service"] = Completed(0, SHOWN)
    expected = ServiceStatus(found, True, True, 4711, "active (running)", "2 jobs, cpu = free", 3)
    assert service.status(linux) == expected


def test_status_of_a_failed_unit(linux: Host) -> None:
    found = service.install(PROGRAM, host=linux)
    shown = "ActiveState=failed\nSubState=failed\nResult=watchdog\nUnitFileState=disabled\nMainPID=0\nNRestarts=5\n"
    assert systemd.read_status(found, shown) == ServiceStatus(
        found, state="failed (failed), watchdog", restarts=5
    )
    assert systemd.read_status(found, "", "UnitFileState=enabled\n") == ServiceStatus(
        found, is_enabled=True, state="unknown (unknown)"
    )


@pytest.mark.parametrize(
    ("line", "program"),
    [
        ('ExecStart="/a b/100%%/voiced" run', "/a b/100%/voiced"),
        ("ExecStart=/usr/bin/voiced run", "/usr/bin/voiced"),
        ("ExecStart=-/usr/bin/voiced", "/usr/bin/voiced"),
        ("ExecStart=", ""),
        ('ExecStart="open', '"open'),
        ("Type=notify", ""),
    ],
)
def test_started_program(line: str, program: str) -> None:
    assert systemd.started_program(f"[Service]\n{line}\n") == program


def test_launchd(mac: Host, notes: Notes) -> None:
    notes.answers["print"] = Completed(113, "Could not find service")
    found = service.install(PROGRAM, tray=True, host=mac)
    folder = mac.home / "Library/LaunchAgents"
    assert found == InstalledService("launchd", folder / "local.voiced.daemon.plist", "/bin/true", False)
    assert (mac.home / "Library/Logs/voiced").is_dir()
    assert notes.commands == [
        "bootout gui/501/local.voiced.daemon",
        f"bootstrap gui/501 {folder}/local.voiced.daemon.plist",
        "bootout gui/501/local.voiced.tray",
        f"bootstrap gui/501 {folder}/local.voiced.tray.plist",
    ]
    assert service.status(mac).state == "not loaded"
    notes.commands.clear()
    service.start(mac)
    service.stop(mac)
    assert notes.commands == [
        "print gui/501/local.voiced.daemon",
        f"bootstrap gui/501 {folder}/local.voiced.daemon.plist",
        "kickstart gui/501/local.voiced.daemon",
        "kill SIGTERM gui/501/local.voiced.daemon",
    ]
    assert len(service.uninstall(mac)) == 2
    assert service.find_service(mac) is None


def test_launchd_has_no_sockets_for_us(mac: Host) -> None:
    with pytest.raises(ServiceError, match="on demand"):
        service.install(PROGRAM, on_demand=True, host=mac)


def test_launchd_refuses(mac: Host, notes: Notes) -> None:
    notes.answers["bootstrap"] = Completed(5, "Bootstrap failed: 5: Input/output error\n")
    with pytest.raises(ServiceError, match=r"Bootstrap failed.*not ssh"):
        service.install(PROGRAM, host=mac)


def test_status_of_launchd(mac: Host) -> None:
    found = InstalledService("launchd", Path("/p"), "/bin/true")
    printed = "gui/501/x = {\n\tstate = running\n\n\tpid = 77\n\tendpoints = {\n\t\tstate = idle\n\t}\n}\n"
    assert launchd.read_status(found, Completed(0, printed)) == ServiceStatus(
        found, True, True, 77, "running"
    )


def test_a_template_that_is_missing_is_named() -> None:
    with pytest.raises(ServiceError, match=r"lacks systemd/nothing\.service"):
        read_template("systemd", "nothing.service")


def test_this_installation_has_the_program() -> None:
    assert service.find_program().name == "voiced"
