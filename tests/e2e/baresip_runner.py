"""Runs Debian's baresip 1.0 without sound hardware and steers it over its ctrl_tcp module.

It plays a tone from a WAV file, records what it decodes (sndfile), and says on its control
connection what happens: one JSON object per netstring.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import socket
import struct
import subprocess
import time
import wave
from array import array
from itertools import count
from pathlib import Path
from typing import Any

from loadtests import processes
from loadtests.ports import free_port
from loadtests.servers import DOMAIN

RATE = 8000
MODULES = Path("/usr/lib/baresip/modules")
CONFIG = """\
poll_method epoll
sip_listen {local}:{sip}
audio_player aubridge,sink
audio_source aufile,{tone}
audio_alert aubridge,alert
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
audio_buffer 20-160
rtp_ports {rtp}-{rtp_end}
rtp_stats yes
jitter_buffer_delay 1-5
net_interface {bare}
module_path {modules}
module g711.so
module sndfile.so
module aufile.so
module aubridge.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{ctrl}
snd_path {directory}
ringback_disabled yes
"""


def write_tone(path: Path, hertz: float, seconds: float = 20.0) -> None:
    """A mono 8 kHz WAV file with a pure tone."""
    step = 2 * math.pi * hertz / RATE
    samples = array("h", (int(9000 * math.sin(step * i)) for i in range(int(RATE * seconds))))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())


def tone_share(path: Path, hertz: float) -> tuple[float, float]:
    """Seconds of sound in a recording, and which share of its energy lies at `hertz`."""
    raw = path.read_bytes()[44:]  # a file that is still being written has a bad length in its head
    samples = struct.unpack(f"<{len(raw) // 2}h", raw[: len(raw) // 2 * 2])
    loud = [sample for sample in samples if abs(sample) > 50]
    if len(loud) < RATE // 4:
        return len(loud) / RATE, 0.0
    best, block = 0.0, 400  # 50 ms: long enough to tell tones apart, short enough for a lost packet
    for start in range(0, len(samples) - block, block):
        piece = samples[start : start + block]
        energy = sum(s * s for s in piece)
        coefficient, a, b = 2 * math.cos(2 * math.pi * hertz / RATE), 0.0, 0.0
        for sample in piece:  # Goertzel
            a, b = sample + coefficient * a - b, a
        power = a * a + b * b - coefficient * a * b
        best = max(best, 2 * power / (block * energy) if energy else 0.0)
    return len(loud) / RATE, best


class Baresip:
    """One softphone with its own folder, SIP port, RTP ports and control connection."""

    def __init__(
        self,
        directory: Path,
        user: str,
        server_port: int,
        *,
        local: str = "127.0.0.1",
        tone: float = 440.0,
        answer: str = "manual",
        expires: int = 600,
        outbound: bool = True,
        password: str = "none",
    ) -> None:
        if not shutil.which("baresip"):
            raise AssertionError("baresip is missing: apt-get install baresip (./test does it)")
        directory.mkdir()
        self.directory, self.user, self.tone = directory, user, tone
        self.ctrl_port, self.sip_port, rtp = free_port(), free_port(), free_port(22)
        rtp += rtp % 2  # RTP takes even ports
        self.rtp_ports = range(rtp, rtp + 20)
        host = f"[{local}]" if ":" in local else local
        self.server = f"{host}:{server_port}"
        self.domain = DOMAIN if outbound else self.server
        route = f';outbound="sip:{self.server};transport=udp"' if outbound else ""
        write_tone(directory / "tone.wav", tone)
        (directory / "config").write_text(
            CONFIG.format(
                local=host,
                bare=local,
                sip=self.sip_port,
                tone=directory / "tone.wav",
                rtp=rtp,
                rtp_end=rtp + 19,
                modules=MODULES,
                ctrl=self.ctrl_port,
                directory=directory,
            )
        )
        (directory / "accounts").write_text(
            f"<sip:{user}@{self.domain};transport=udp>;auth_pass={password}{route};regint={expires}"
            f";answermode={answer};audio_codecs=PCMU/8000/1\n"
        )
        (directory / "contacts").write_text("")
        with (directory / "out.log").open("wb") as out:
            self.process = subprocess.Popen(
                ["baresip", "-f", str(directory), *(("-6",) if ":" in local else ("-4",))],
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
            )
        self.events: list[dict[str, Any]] = []
        self._buffer = b""
        self._tokens = count(1)
        self.control = self._connect()

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + 20
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.ctrl_port), 1)
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError(f"baresip did not start:\n{self.output}") from None
                time.sleep(0.02)

    @property
    def output(self) -> str:
        """What it printed."""
        return (self.directory / "out.log").read_text(errors="replace")[-4000:]

    def _next(self, deadline: float) -> dict[str, Any] | None:
        """The next object on the control connection."""
        while True:
            head, colon, rest = self._buffer.partition(b":")
            if colon and len(rest) > int(head):
                self._buffer = rest[int(head) + 1 :]
                found: dict[str, Any] = json.loads(rest[: int(head)])
                return found
            self.control.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self.control.recv(65_536)
            except TimeoutError:
                return None
            if not data:
                raise AssertionError(f"baresip closed its control connection:\n{self.output}")
            self._buffer += data

    def command(self, name: str, params: str = "") -> str:
        """Run one command, return its text; events on the way are kept for wait_event()."""
        token = str(next(self._tokens))
        text = json.dumps({"command": name, "params": params, "token": token}).encode()
        self.control.sendall(b"%d:%s," % (len(text), text))
        deadline = time.monotonic() + 20
        while (got := self._next(deadline)) is not None:
            if got.get("response") and got.get("token") == token:
                assert got.get("ok"), f"baresip {name} {params}: {got}"
                return re.sub(r"\x1b\[[0-9;]*m", "", got.get("data") or "")
            self.events.append(got)
        raise AssertionError(f"baresip did not answer {name}:\n{self.output}")

    def wait_event(self, kind: str, timeout: float = 20.0) -> dict[str, Any]:
        """The next event of this type (REGISTER_OK, CALL_INCOMING, CALL_ESTABLISHED …)."""
        deadline = time.monotonic() + timeout
        while True:
            for index, event in enumerate(self.events):
                if event.get("type") == kind:
                    del self.events[: index + 1]
                    return event
            if (got := self._next(deadline)) is None:
                seen = [event.get("type") for event in self.events]
                raise AssertionError(f"{self.user}: no {kind}, saw {seen}\n{self.output}")
            self.events.append(got)

    def wait_registered(self, timeout: float = 20.0) -> None:
        """Wait until its account is registered (the event may come before our connection)."""
        deadline = time.monotonic() + timeout
        while "200 OK" not in self.output:
            assert time.monotonic() < deadline, f"{self.user} is not registered:\n{self.output}"
            time.sleep(0.02)

    def recording(self) -> Path:
        """The newest file with what this telephone heard."""
        found = sorted(self.directory.glob("dump-*-dec.wav"), key=lambda p: p.stat().st_mtime)
        assert found, f"{self.user} recorded nothing:\n{self.output}"
        return found[-1]

    def heard(self, hertz: float) -> bool:
        """Whether the newest recording holds at least half a second of this tone."""
        if not list(self.directory.glob("dump-*-dec.wav")):
            return False
        seconds, share = tone_share(self.recording(), hertz)
        return seconds >= 0.5 and share > 0.8

    def media_source(self) -> int:
        """The port its last RTP stream came from."""
        found = re.findall(
            r"incoming rtp for 'audio' established, receiving from \S+:(\d+)", self.output
        )
        assert found, f"{self.user} received no RTP:\n{self.output}"
        return int(found[-1])

    def stop(self) -> None:
        """End it; by force if it does not want to."""
        self.control.close()
        if self.process.stdin:
            self.process.stdin.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                processes.kill_tree(self.process.pid)
                self.process.wait()
