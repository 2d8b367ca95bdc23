"""A debug probe for pyOCD whose board is a machine in QEMU: pyOCD drives the emulated flash controller by its own code.

QEMU shows no debug port. The parts of it that pyOCD needs are kept here: a memory access port, the ROM table with one
core, and the core's debug registers (Armv6-M Architecture Reference Manual, chapter C1), over QEMU's gdbstub, whose
port TEALIGHT_QEMU_GDB names. All other memory is the machine's own."""

from __future__ import annotations

import os
import select
import socket
import time
from typing import Any

from pyocd.core.memory_interface import MemoryInterface
from pyocd.core.plugin import Plugin
from pyocd.probe.debug_probe import DebugProbe

DP_IDR, AP_IDR, ROM, SCS = 0x0BB11477, 0x04770021, 0xF000_0000, 0xE000_E000
AIRCR, DHCSR, DCRSR, DCRDR, DEMCR = 0xE000ED0C, 0xE000EDF0, 0xE000EDF4, 0xE000EDF8, 0xE000EDFC
C_DEBUGEN, C_HALT, C_STEP, S_REGRDY, S_HALT, S_RESET_ST = 1, 2, 4, 1 << 16, 1 << 17, 1 << 25
XPSR, SP, LR, PC = 16, 13, 14, 15


def _identity(base: int, part: int, kind: int) -> dict[int, int]:
    """Component and peripheral identification: made by Arm."""
    words = (0x04, 0, 0, 0, part & 0xFF, 0xB0 | part >> 8, 0x0B, 0, 0x0D, kind << 4, 0x05, 0xB1)
    return {base + 0xFD0 + 4 * k: word for k, word in enumerate(words)}


FIXED = {ROM: (SCS - ROM) % 2**32 | 3, ROM + 4: 0, **_identity(ROM, 0x471, 1), **_identity(SCS, 0x008, 14)}


class Gdb:
    """QEMU's gdbstub. Any packet would stop a machine that runs, so it is stopped before and goes on after."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pending, self.running = b"", False
        while self._packet(0.1) is not None:  # a machine that ran says that it has stopped
            pass
        self.ask("?")
        self.ask("qXfer:features:read:target.xml:0,1000")  # before that QEMU gives no single register

    def _packet(self, timeout_s: float) -> str | None:
        """The next packet; None when none comes in time. What lies between packets are acknowledgements."""
        while b"#" not in self.pending or len(self.pending.partition(b"#")[2]) < 2:
            if not select.select([self.socket], [], [], timeout_s)[0]:
                return None
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("QEMU has ended")
            self.pending += more
        packet, _, rest = self.pending.partition(b"#")
        self.pending = rest[2:]
        self.socket.sendall(b"+")
        return packet.rpartition(b"$")[2].decode()

    def _receive(self) -> str:
        packet = self._packet(30.0)
        if packet is None:
            raise TimeoutError("QEMU does not answer")
        return packet

    def ask(self, text: str) -> str:
        self.go(text)
        self.running = False
        return self._receive()

    def go(self, how: str) -> None:
        data = how.encode()
        self.socket.sendall(b"$" + data + b"#%02x" % (sum(data) % 256))
        self.running = True

    def halted(self) -> bool:
        """Whether the core stands; sees a breakpoint that was hit."""
        packet = self._packet(0) if self.running else None
        if packet is not None:
            self.running = not packet.startswith(("T", "S"))
        return not self.running

    def halt(self) -> None:
        if not self.halted():
            self.socket.sendall(b"\x03")
            while not self._receive().startswith(("T", "S")):
                pass
            self.running = False


class Core:
    """The memory of the machine, with the registers that QEMU lacks."""

    def __init__(self, port: int) -> None:
        self.gdb = Gdb(port)
        self.demcr = self.value = self.control = self.sticky = 0
        self.breakpoint: int | None = None

    def _registers(self) -> tuple[int, ...]:
        return (*range(16), 25)

    def read_register(self, number: int) -> int:
        if number > XPSR + 2:
            return 0
        number = SP if number > XPSR else number
        return int.from_bytes(bytes.fromhex(self.gdb.ask(f"p{self._registers()[number]:x}")), "little")

    def write_register(self, number: int, value: int) -> None:
        if number <= XPSR + 2:
            number = SP if number > XPSR else number
            self.gdb.ask(f"P{self._registers()[number]:x}={value.to_bytes(4, 'little').hex()}")

    def resume(self) -> None:
        """QEMU has no halt on BKPT: where the link register leads, which is how pyOCD ends a call, it stops instead.

        A core without a program locks up, at which QEMU would end: it stands."""
        if self.read_register(PC) >> 28 != 2 and self.read(4, 4) in (bytes(4), b"\xff" * 4):
            return
        if self.control & C_STEP:
            self.gdb.go("s")
            return
        self.breakpoint = self.read_register(LR) & ~1
        if self.breakpoint >> 28 == 2:
            self.gdb.ask(f"Z0,{self.breakpoint:x},2")
        self.gdb.go("c")

    def halted(self) -> bool:
        if not self.gdb.halted():
            return False
        if self.breakpoint is not None:
            self.gdb.ask(f"z0,{self.breakpoint:x},2")
            self.breakpoint = None
        return True

    def reset(self) -> None:
        ran = not self.halted()
        self.gdb.halt()
        self.gdb.ask("qRcmd," + b"system_reset".hex())
        time.sleep(0.2)  # the machine resets between two packets
        self.sticky = S_RESET_ST
        if ran and not self.demcr & 1:
            self.gdb.go("c")

    def read_word(self, address: int) -> int | None:
        """Of what is kept here; None: the machine has it."""
        if address == DHCSR:
            state = S_REGRDY | self.sticky | (S_HALT if self.halted() else 0) | self.control
            self.sticky = 0
            return state
        kept = {DCRDR: self.value, DEMCR: self.demcr, DCRSR: 0}
        return kept.get(address, FIXED.get(address))

    def write_word(self, address: int, value: int) -> bool:
        """Whether it is kept here."""
        if address == DHCSR:
            self.control = value & (C_DEBUGEN | C_HALT | C_STEP)
            if value & C_HALT:
                self.gdb.halt()
            elif self.halted():
                self.resume()
        elif address == DCRSR and value >> 16 & 1:
            self.write_register(value & 0x7F, self.value)
        elif address == DCRSR:
            self.value = self.read_register(value & 0x7F)
        elif address == DCRDR:
            self.value = value
        elif address == DEMCR:
            self.demcr = value
        elif address == AIRCR and value & 4:
            self.reset()
        else:
            return False
        return True

    def read(self, address: int, size: int) -> bytes:
        kept = self.read_word(address) if size == 4 else None
        if kept is not None:
            return kept.to_bytes(4, "little")
        return self._while_stopped(f"m{address:x},{size:x}")

    def write(self, address: int, data: bytes) -> None:
        if len(data) != 4 or not self.write_word(address, int.from_bytes(data, "little")):
            self._while_stopped(f"M{address:x},{len(data):x}:{data.hex()}")

    def _while_stopped(self, packet: str) -> bytes:
        ran = not self.gdb.halted()
        self.gdb.halt()
        answer = self.gdb.ask(packet)
        if ran:
            self.gdb.go("c")
        if answer.startswith("E"):
            raise OSError(f"QEMU refuses {packet[:20]}")
        return bytes.fromhex(answer) if answer != "OK" else b""


class Memory(MemoryInterface):
    """What pyOCD reads and writes."""

    CHUNK = 1024

    def __init__(self, core: Core) -> None:
        self.core = core

    def read_memory(self, addr: int, transfer_size: int = 32, now: bool = True, **attrs: Any) -> Any:
        value = int.from_bytes(self.core.read(addr, transfer_size // 8), "little")
        return value if now else lambda: value

    def write_memory(self, addr: int, data: int, transfer_size: int = 32, **attrs: Any) -> None:
        self.core.write(addr, data.to_bytes(transfer_size // 8, "little"))

    def read_memory_block8(self, addr: int, size: int, **attrs: Any) -> list[int]:
        chunks = (self.core.read(addr + k, min(self.CHUNK, size - k)) for k in range(0, size, self.CHUNK))
        return list(b"".join(chunks))

    def write_memory_block8(self, addr: int, data: Any, **attrs: Any) -> None:
        for k in range(0, len(data), self.CHUNK):
            self.core.write(addr + k, bytes(data[k : k + self.CHUNK]))

    def read_memory_block32(self, addr: int, size: int, **attrs: Any) -> list[int]:
        if addr >= 0xE0000000:  # registers, one by one
            return [self.read_memory(addr + 4 * k) for k in range(size)]
        data = bytes(self.read_memory_block8(addr, 4 * size))
        return [int.from_bytes(data[k : k + 4], "little") for k in range(0, len(data), 4)]

    def write_memory_block32(self, addr: int, data: Any, **attrs: Any) -> None:
        self.write_memory_block8(addr, b"".join(word.to_bytes(4, "little") for word in data))


class QemuProbe(DebugProbe):
    """One machine."""

    @classmethod
    def get_all_connected_probes(cls, unique_id: str | None = None, is_explicit: bool = False) -> list[QemuProbe]:
        return [cls()] if "TEALIGHT_QEMU_GDB" in os.environ else []

    @classmethod
    def get_probe_with_id(cls, unique_id: str, is_explicit: bool = False) -> QemuProbe | None:
        return next((p for p in cls.get_all_connected_probes() if p.unique_id == unique_id), None)

    def __init__(self) -> None:
        super().__init__()
        self.core: Core | None = None
        self.status = 0

    description = product_name = "QEMU"
    vendor_name = "Tealight"
    unique_id = "tealight-qemu"
    supported_wire_protocols = (DebugProbe.Protocol.DEFAULT, DebugProbe.Protocol.SWD)
    wire_protocol = DebugProbe.Protocol.SWD
    capabilities = frozenset({DebugProbe.Capability.MANAGED_AP_SELECTION, DebugProbe.Capability.MANAGED_DPBANKSEL})

    @property
    def is_open(self) -> bool:
        return self.core is not None

    def open(self) -> None:
        self.core = Core(int(os.environ["TEALIGHT_QEMU_GDB"]))

    def close(self) -> None:
        if self.core is not None:
            self.core.gdb.socket.close()
        self.core = None

    def connect(self, protocol: Any = None) -> None: ...
    def disconnect(self) -> None: ...
    def set_clock(self, frequency: float) -> None: ...
    def flush(self) -> None: ...
    def assert_reset(self, asserted: bool) -> None: ...

    def is_reset_asserted(self) -> bool:
        return False

    def reset(self) -> None:
        assert self.core is not None
        self.core.reset()

    def read_dp(self, addr: int, now: bool = True) -> Any:
        value = {0: DP_IDR, 4: self.status | (self.status & 0x5000_0000) << 1}.get(addr, 0)
        return value if now else lambda: value

    def write_dp(self, addr: int, data: int) -> None:
        self.status = data & 0x5000_0000 if addr == 4 else self.status

    def read_ap(self, addr: int, now: bool = True) -> Any:
        here = {0x00: 0x2300_0052, 0xF8: ROM | 3, 0xFC: AP_IDR}
        value = here.get(addr & 0xFF, 0) if addr >> 24 == 0 else 0
        return value if now else lambda: value

    def write_ap(self, addr: int, data: int) -> None: ...

    def get_memory_interface_for_ap(self, ap_address: Any) -> Memory:
        assert self.core is not None
        return Memory(self.core)


class QemuProbePlugin(Plugin):
    """How pyOCD finds it."""

    def load(self) -> Any:
        return QemuProbe

    name = "tealight_qemu"
    description = "A machine in QEMU"
