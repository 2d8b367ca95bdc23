"""What a pickle of torch.save says, without executing it: an interpreter of the opcodes that tensors and plain
containers need. Nothing is imported or called: a global is a name here, and only the names below mean something.

Python's own Unpickler is not used: it calls what it finds, and reserves what a damaged index claims."""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from toolkit.errors import ToolkitError

STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
    "UntypedStorage": "u1",
}
REBUILDS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
ADVICE = "save model.state_dict(), or the whole model with torch.onnx.export"
_DEEPEST = 1 << 16  # values on the stack


@dataclass(frozen=True, slots=True)
class Name:
    """A global that a pickle names; it is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Storage:
    """A tensor's memory: where it lies in the file, and how many elements it claims."""

    dtype: str
    key: str
    numel: int
    view: tuple[int, int] | None = None  # of the legacy format: offset and size within another storage


@dataclass(frozen=True, slots=True)
class Tensor:
    """A view of a storage, in elements."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class Mark:
    """The stack's mark."""


class Machine:
    """One pickle's stack and memo; `file` is left behind its STOP. Raises: ToolkitError for anything but data."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, file: io.BufferedIOBase) -> Any:
        """The value of the pickle that `file` stands at."""
        try:
            for opcode, argument, _ in pickletools.genops(file):  # type: ignore[arg-type]  # it only reads
                if opcode.name == "STOP":
                    return self.stack.pop()
                self.step(opcode.name, argument)
                if len(self.stack) > _DEEPEST:
                    raise ValueError("too deep a stack")
        except ToolkitError:
            raise
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, UnicodeError) as e:
            raise ToolkitError(f"{self.where}: a damaged pickle ({type(e).__name__}: {e}); save it again") from None
        raise ToolkitError(f"{self.where}: a pickle without an end; save it again")

    def step(self, opcode: str, argument: Any) -> None:
        """Executes one opcode on the stack."""
        if opcode in ("PROTO", "FRAME"):
            return
        if opcode in _PUSH:
            self.stack.append(_PUSH[opcode]())
        elif opcode in _LITERALS:
            self.stack.append(argument)
        elif opcode in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif opcode in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif opcode in _STEPS:
            _STEPS[opcode](self, argument)
        else:
            raise ToolkitError(f"{self.where}: pickle opcode {opcode}, which no tensor needs; {ADVICE}")

    def pop(self, count: int) -> list[Any]:
        """The last values, in the order in which they were pushed."""
        if len(self.stack) < count:
            raise IndexError("empty stack")
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def since_mark(self) -> list[Any]:
        """The values after the last mark, which goes as well."""
        at = max(k for k, v in enumerate(self.stack) if isinstance(v, Mark))
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def name(self, module: str, name: str) -> Name:
        """A global, if it is one of the few.

        Raises: ToolkitError, naming it."""
        known = (
            (module == "collections" and name == "OrderedDict")
            or (module == "torch._utils" and name in REBUILDS)
            or (module in ("torch", "torch.storage") and name in STORAGES)
            or (module == "torch" and name == "Size")
        )
        if not known:
            what = "a whole model or another object" if module.startswith(("torch.nn", "__main__")) else "code"
            raise ToolkitError(
                f"{self.where}: holds {module}.{name}, {what}; nothing of it was executed. Only tensors and plain "
                f"containers are read: {ADVICE}"
            )
        return Name(module, name)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any) -> Tensor:
    numbers = (offset, *size, *stride)
    plain = isinstance(storage, Storage) and all(type(v) is int and 0 <= v < 1 << 62 for v in numbers)
    if not plain or len(size) != len(stride) or len(size) > 8:
        raise ValueError("not a tensor")
    return Tensor(storage, offset, tuple(size), tuple(stride))


def _reduce(machine: Machine, _: Any) -> None:
    function, arguments = machine.pop(2)
    if not isinstance(function, Name) or not isinstance(arguments, tuple):
        raise ValueError(f"a call of {type(function).__name__}")
    if function.name == "OrderedDict":
        machine.stack.append(dict(*arguments))
    elif function.name == "Size":
        machine.stack.append(tuple(*arguments))
    elif function.name == "_rebuild_parameter":
        machine.stack.append(arguments[0])
    elif function.name in REBUILDS:
        machine.stack.append(_tensor(*arguments[:4]))
    else:
        raise ValueError(f"a call of {function}")


def _persistent(machine: Machine, _: Any) -> None:
    """A storage: ("storage", type, key, device, elements[, view]) in the words of torch.serialization."""
    (value,) = machine.pop(1)
    if not isinstance(value, tuple) or not value:
        raise ValueError("a persistent object of unknown kind")
    if value[0] == "module":
        raise ToolkitError(f"{machine.where}: holds a whole model; nothing of it was executed: {ADVICE}")
    kind, key, numel = value[1], value[2], value[4]
    if value[0] != "storage" or not isinstance(kind, Name) or kind.name not in STORAGES or type(numel) is not int:
        raise ValueError("a persistent object that is no storage")
    view = value[5] if len(value) > 5 else None
    if view is not None:
        if not (type(view) is tuple and len(view) == 3 and all(type(v) is int and v >= 0 for v in view[1:])):
            raise ValueError("a view that is none")
        view = (view[1], view[2])
    machine.stack.append(Storage(STORAGES[kind.name], str(key), numel, view))


def _build(machine: Machine, _: Any) -> None:
    """The state of an object; of an OrderedDict it is torch's `_metadata`, which we do not need."""
    machine.pop(1)
    if not isinstance(machine.stack[-1], dict):
        raise ValueError("a state for something that has none")


def _set(machine: Machine, values: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, dict) or len(values) % 2:
        raise ValueError("items for something that has none")
    target.update(zip(values[::2], values[1::2], strict=True))


def _extend(machine: Machine, values: list[Any]) -> None:
    if not isinstance(machine.stack[-1], list):
        raise ValueError("an append to something that is no list")
    machine.stack[-1].extend(values)


def _pairs(values: list[Any]) -> dict[Any, Any]:
    return dict(zip(values[::2], values[1::2], strict=True))


def _pushed(make: Callable[[Machine], Any]) -> Callable[[Machine, Any], None]:
    return lambda machine, _: machine.stack.append(make(machine))


_PUSH: dict[str, Callable[[], Any]] = {
    "MARK": Mark,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_LITERALS = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT UNICODE BINUNICODE SHORT_BINUNICODE "
    "STRING BINSTRING SHORT_BINSTRING".split()
)
_STEPS: dict[str, Callable[[Machine, Any], None]] = {
    "POP": lambda machine, _: machine.stack.pop() and None,
    "TUPLE": _pushed(lambda m: tuple(m.since_mark())),
    "TUPLE1": _pushed(lambda m: tuple(m.pop(1))),
    "TUPLE2": _pushed(lambda m: tuple(m.pop(2))),
    "TUPLE3": _pushed(lambda m: tuple(m.pop(3))),
    "LIST": _pushed(Machine.since_mark),
    "DICT": _pushed(lambda m: _pairs(m.since_mark())),
    "GLOBAL": lambda m, text: m.stack.append(m.name(*text.split(" ", 1))),
    "STACK_GLOBAL": _pushed(lambda m: m.name(*map(str, m.pop(2)))),
    "SETITEM": lambda m, _: _set(m, m.pop(2)),
    "SETITEMS": lambda m, _: _set(m, m.since_mark()),
    "APPEND": lambda m, _: _extend(m, m.pop(1)),
    "APPENDS": lambda m, _: _extend(m, m.since_mark()),
    "REDUCE": _reduce,
    "BUILD": _build,
    "BINPERSID": _persistent,
}


def load(file: io.BufferedIOBase, where: str) -> Any:
    """The data of the pickle that `file` stands at, of dict, list, tuple, text, numbers and Tensor.

    Raises: ToolkitError, one line, when it holds anything else or is damaged."""
    return Machine(where).run(file)
