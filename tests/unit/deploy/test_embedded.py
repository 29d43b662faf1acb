"""What the embedded stack decides before any process runs."""

import os
import resource
import signal
import socket
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

from deploy.embedded import members, parts, ports, programs, record
from deploy.embedded.errors import StackError
from deploy.embedded.stack import Stack, open_files, sweep_uploads, tail


def configuration(data: Path) -> RawConfigParser:
    binary = parts.Binary(Path("/opt/a b/mongod"), (Path("/opt/libraries"),))
    chosen = [programs.mongo(binary, data, 4000), *(programs.service(name, 3) for name in programs.SERVICES)]
    parser = RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(programs.supervisor_config(data, chosen, 5000, "secret"))
    return parser


def test_parts_start_in_order_and_so_stop_in_the_opposite_one(tmp_path: Path) -> None:
    parser = configuration(tmp_path)
    order = {name: parser.getint(f"program:{name}", "priority") for name in ("mongo", *programs.SERVICES)}
    assert sorted(order, key=order.__getitem__) == [
        "mongo", "artifacts", "scorer", "predictor", "launcher", "orchestrator", "gateway",
    ]  # fmt: skip


def test_whatever_dies_is_started_again_for_ever(tmp_path: Path) -> None:
    parser = configuration(tmp_path)
    for section in (section for section in parser.sections() if section.startswith("program:")):
        assert parser[section]["autorestart"] == "true"
        assert parser[section]["startsecs"] == "0"
        assert parser.getint(section, "startretries") > 10**6


def test_services_wait_for_the_stores_and_show_their_module(tmp_path: Path) -> None:
    parser = configuration(tmp_path)
    assert parser["program:mongo"]["autostart"] == "true"
    for name, module in programs.SERVICES.items():
        section = parser[f"program:{name}"]
        assert section["autostart"] == "false"
        assert section["command"] == f"{sys.executable} -m {module}"


def test_copies_have_their_own_names_and_logs(tmp_path: Path) -> None:
    section = configuration(tmp_path)["program:predictor"]
    assert section["numprocs"] == "3"
    assert section["process_name"] == "predictor-%(process_num)d"
    assert section["stdout_logfile"] == f"{tmp_path}/logs/predictor-%(process_num)d.log"


def test_paths_with_spaces_stay_whole(tmp_path: Path) -> None:
    section = configuration(tmp_path / "a folder")["program:mongo"]
    assert section["command"].startswith("'/opt/a b/mongod' --dbpath ")
    assert f"'{tmp_path}/a folder/mongo'" in section["command"]
    assert section["environment"] == 'LD_LIBRARY_PATH="/opt/libraries"'


@pytest.mark.parametrize("name", ["100%", "a #b", "a ;b", "a\nb"])
def test_a_folder_that_the_supervisor_would_misread_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StackError, match="path of the data folder"):
        configuration(tmp_path / name)


def test_credentials_are_made_once_and_private(tmp_path: Path) -> None:
    made = record.credentials(tmp_path)
    assert record.credentials(tmp_path) == made
    assert len(set(made.model_dump().values())) == 5
    assert (tmp_path / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert not [value for value in made.model_dump().values() if value in repr(made)]


def test_a_damaged_file_is_named_without_its_content(tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text('{"nats_token": 12345')
    with pytest.raises(StackError, match=r"credentials\.json is damaged") as failure:
        record.credentials(tmp_path)
    assert "12345" not in str(failure.value)


def test_free_ports_are_free_different_and_not_for_outgoing_connections() -> None:
    found = ports.free(20)
    assert len(set(found)) == 20
    lowest = int(ports.RANGE_FILE.read_text().split()[0])
    assert all(ports.LOWEST <= port < lowest for port in found)
    assert not any(ports.taken(ports.LOOPBACK, port) for port in found)


def test_a_port_with_a_listener_is_taken() -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        assert ports.taken(ports.LOOPBACK, server.getsockname()[1])


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(StackError, match="ASSAY_HOST"):
        ports.taken("192.0.2.1", 8080)


def test_members_are_found_by_their_environment_and_ended(tmp_path: Path) -> None:
    # One that ignores the polite signal, and says so before it is asked.
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); signal.pause()"
    environment = {**os.environ, members.MARK: str(tmp_path)}
    with (
        subprocess.Popen([sys.executable, "-c", stubborn], env=environment, stdout=subprocess.PIPE) as one,
        subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE) as other,
    ):
        for process in (one, other):
            assert process.stdout
            process.stdout.readline()
        assert members.members(tmp_path) == [one.pid]
        assert members.end(tmp_path, grace_s=0.1) == 1
        assert one.wait(10) == -signal.SIGKILL
        assert other.poll() is None
        other.kill()


def test_leftovers_of_uploads_go_and_objects_stay(tmp_path: Path) -> None:
    folder = tmp_path / "assay/bundles"
    folder.mkdir(parents=True)
    kept = folder / "bundle.zip"
    for file in (kept, folder / ".rclone_temp_put_1", folder / ".rclone_temp_multipart_2"):
        file.write_text("x")
    sweep_uploads(tmp_path)
    assert list(folder.iterdir()) == [kept]


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail(log, 3) == []
    log.write_bytes(b"\xff" * 100_000 + b"\none\ntwo\n")
    assert tail(log, 2) == ["one", "two"]


def test_the_limit_of_open_files_is_lifted_for_children_alone() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = min(before[0], 512)
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, before[1]))
    try:
        with open_files(low + 1):
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (low + 1, before[1])
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (low, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_stack_that_was_never_started(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "nothing")
    assert not stack.running()
    assert stack.status() == []
    assert not stack.down()
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(StackError, match="no stack runs in"):
        assert stack.url


def test_a_program_that_does_not_run_says_why(tmp_path: Path) -> None:
    assert parts.Binary(Path(sys.executable)).answers("-c", "pass") is None
    complaint = parts.Binary(Path(sys.executable)).answers("-c", "raise SystemExit('no libcurl.so.4')")
    assert complaint == "no libcurl.so.4"
    assert "No such file" in (parts.Binary(tmp_path / "missing").answers() or "")


def test_a_store_from_a_missing_package_says_how_to_get_it() -> None:
    with pytest.raises(StackError, match="no mongod: neither on PATH nor from the Python package no-such-package"):
        parts.from_wheel("no-such-package", "mongod")
