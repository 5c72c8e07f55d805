"""A SuperLink and SuperNodes as processes on loopback, for the tests that use Flower's own runtime.

They are Flower's own commands with two things made shorter: pauses of a SuperNode between two looks for messages, and
the start of a `flwr-clientapp`, which is forked from a process that has loaded Flower already. Each message still has a
process of its own. Run as a program this file is one of the two: `supernode ARGUMENTS`, or `forks SOCKET`.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

LONGEST_PAUSE = 0.5  # seconds
PATIENCE = 60.0  # seconds for a process to come up


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def surroundings(folder):
    """The environment of everything that Flower starts for a test: a home of its own, no telemetry, nothing fetched."""
    (folder / "home" / ".flwr").mkdir(parents=True)
    return os.environ | {
        "HOME": str(folder / "home"),
        "FLWR_HOME": str(folder / "home" / ".flwr"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.3",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def end_all(env):
    """Everything with this environment: some of what Flower starts outlives its parent."""
    mark = f"FLWR_HOME={env['FLWR_HOME']}".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in environ.read_bytes().split(b"\0"):
                os.kill(int(environ.parent.name), signal.SIGKILL)


class Runtime:
    """In `folder`: Flower's home, one log a process."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "bin").mkdir()
        self.port = free_port()
        self.env = surroundings(folder) | {
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PATH": os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        (folder / "home" / ".flwr" / "config.toml").write_text(
            f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{self.port}"\ninsecure = true\n'
        )
        self.processes = {}
        self._fork_clients()
        command = [tool("flower-superlink"), "--insecure", "--host", "127.0.0.1", "--port", str(self.port)]
        self._start("superlink", command)
        self.wait_for("superlink", "Uvicorn running|Application startup complete")

    def _fork_clients(self):
        where = self.folder / "forks"
        self._start("forks", [sys.executable, __file__, "forks", str(where)])
        script = self.folder / "bin" / "flwr-clientapp"
        script.write_text(f"#!{sys.executable} -IS\n{CLIENT.format(where=str(where))}")
        script.chmod(0o755)

    def _start(self, name, command):
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, env=self.env, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        (self.folder / f"{name}.pid").write_text(str(self.processes[name].pid))

    def log(self, name):
        return re.sub(r"\x1b\[[0-9;]*m", "", (self.folder / f"{name}.log").read_text(errors="replace"))

    def wait_for(self, name, pattern, times=1):
        """The last match of the pattern in the process's log, once there are so many."""
        deadline = time.monotonic() + PATIENCE
        while len(found := re.findall(pattern, self.log(name))) < times:
            if self.processes[name].poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{name}: no {pattern!r} in its log:\n{self.log(name)[-3000:]}")
            time.sleep(0.05)
        return found[-1]

    def start_node(self, place, config):
        """Its name."""
        name = f"node-{place}"
        said = " ".join([f"partition-id={place}", *(f"{key}='{value}'" for key, value in config.items())])
        command = [sys.executable, __file__, "supernode", "--insecure", "--superlink", f"127.0.0.1:{self.port}"]
        self._start(name, [*command, "--port", str(free_port()), "--node-config", said])
        return name

    def run_app(self, app):
        """`flwr run`: what it said."""
        command = [tool("flwr"), "run", str(app), "--stream"]
        done = subprocess.run(command, env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=300)
        return done.stdout + done.stderr

    def stop(self):
        end_all(self.env)
        for process in self.processes.values():
            process.wait()


def tool(name):
    return str(Path(sys.executable).parent / name)


# A flwr-clientapp that asks for a fork: without Flower it starts in a few milliseconds.
CLIENT = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as asking:
    asking.connect({where!r})
    said = json.dumps([sys.argv, dict(os.environ), os.getcwd()]).encode()
    socket.send_fds(asking, [said], [1, 2])
    asking.shutdown(socket.SHUT_WR)
    asking.recv(1)
"""


def fork_clients(where):
    """Loads Flower once, then forks a `flwr-clientapp` for each connection."""
    import json

    from flwr.supernode.cli import flwr_clientapp

    import veilsum.flower  # noqa: F401  (so that a fork need not load it)

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(where)
    listening.listen(64)
    while True:
        asked, _ = listening.accept()
        said, files, _, _ = socket.recv_fds(asked, 1 << 20, 2)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for place, file in enumerate(files, 1):
                os.dup2(file, place)
            sys.argv, environ, folder = json.loads(said)
            os.environ.update(environ)
            os.chdir(folder)
            try:
                flwr_clientapp()  # ends itself: Flower's own handlers have run by then
            finally:
                sys.stdout.flush()
                os._exit(0)
        for file in files:
            os.close(file)
        asked.close()


def supernode(arguments):
    import flwr.supernode.start_client_internal as loop
    from flwr.supernode.cli import flower_supernode

    class Brisk:
        @staticmethod
        def sleep(seconds):
            time.sleep(min(seconds, LONGEST_PAUSE))

        def __getattr__(self, name):
            return getattr(time, name)

    loop.time = Brisk()
    sys.argv = ["flower-supernode", *arguments]
    flower_supernode()


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    fork_clients(rest[0]) if role == "forks" else supernode(rest)
