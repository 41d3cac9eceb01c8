"""What a report says of the machine and of what is installed on it."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("tomograd", "numpy", "numba", "llvmlite")
_CACHE_KINDS = {"Data": " data", "Instruction": " instructions", "Unified": ""}


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, memory, caches, system."""
    return {
        "processor": processor(),
        "cores": cores(),
        "memory": memory(),
        "caches": caches(),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "C library": " ".join(platform.libc_ver()).strip() or "unknown",
    }


def cores() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """The processor's name as it gives it itself."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        facts: dict[str, str] = {}
        for line in information.read_text().splitlines():
            key, _, value = line.partition(":")
            facts.setdefault(key.strip(), value.strip())  # the first of all processors
        if name := facts.get("model name"):
            numbers = [f"{key} {facts[key]}" for key in ("cpu family", "model") if key in facts]
            return f"{name} ({', '.join(numbers)})" if numbers else name
    return platform.processor() or platform.machine()


def memory() -> str:
    """The size of the memory, in GiB."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return "unknown"
    return f"{size / 2**30:.1f} GiB"


def caches(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> dict[str, str]:
    """The caches that the first processor sees, as Linux tells them: {"L1 data": "48K", …}."""
    found = {}
    for index in sorted(folder.glob("index*")):
        try:
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        found[f"L{level}{_CACHE_KINDS.get(kind, '')}"] = size
    return found


def versions(peer: str | None) -> dict[str, str]:
    """Python's version and those of the packages that matter."""
    found = {"python": platform.python_version()}
    for name in (*PACKAGES, *([peer] if peer else [])):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    return found
