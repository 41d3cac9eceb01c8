"""Reads x86's assembly as LLVM writes it (AT&T's order: sources, then destination): its innermost loops, and what their
instructions are."""

import re
from dataclasses import dataclass

_LABEL = re.compile(r"(\.?[A-Za-z_$][\w.$]*):")
_JUMP = re.compile(r"j\w+\s+(\.?[A-Za-z_$][\w.$]*)$")
_VECTOR = re.compile(r"%([xyz])mm(\d+)")
_STACK = re.compile(r"\(%rsp[,)]")
_WIDTH = {"x": 128, "y": 256, "z": 512}


@dataclass(frozen=True)
class Instruction:
    """One line of assembly without its comment."""

    text: str

    @property
    def name(self) -> str:
        """The operation."""
        return self.text.split(None, 1)[0]

    @property
    def operands(self) -> list[str]:
        """Its operands; the commas in an address do not part them."""
        rest = self.text.split(None, 1)[1:]
        return [part.strip() for part in re.split(r",(?![^(]*\))", rest[0])] if rest else []

    @property
    def widths(self) -> set[int]:
        """Bits of the vector registers that it names."""
        return {_WIDTH[letter] for letter, _ in _VECTOR.findall(self.text)}

    @property
    def multiplies_and_adds(self) -> bool:
        """True for a fused multiply-add on vectors (`…ps`, `…pd`)."""
        return re.match(r"vfn?m(add|sub)\d*p[sd]$", self.name) is not None

    @property
    def spills(self) -> bool:
        """True if it moves a vector to or from the stack, or works on one that lies there."""
        return bool(self.widths) and _STACK.search(self.text) is not None

    @property
    def touches_stack(self) -> bool:
        """True if any operand lies on the stack."""
        return _STACK.search(self.text) is not None

    @property
    def copies_register(self) -> bool:
        """True if it only copies one vector register to another."""
        return self.name.startswith(("vmova", "vmovu", "vmovdq")) and all(
            re.fullmatch(r"%[xyz]mm\d+", operand) for operand in self.operands
        )

    @property
    def loads(self) -> bool:
        """True if it reads a vector, or a number for a vector, from memory."""
        sources = self.operands[:-1]
        return bool(self.widths) and any("(" in operand for operand in sources)


def instructions(assembly: str) -> list[tuple[str | None, Instruction | None]]:
    """The lines that count, in order: (label, None) or (None, instruction)."""
    found = []
    for line in assembly.splitlines():
        line = line.split("#", 1)[0].strip()
        label = _LABEL.match(line)
        if label:
            found.append((label.group(1), None))
        elif line and not line.startswith("."):
            found.append((None, Instruction(line)))
    return found


def innermost_loops(assembly: str) -> list[list[Instruction]]:
    """The instructions from each label to a later jump back to it, where no other such loop lies in between."""
    lines, places, spans = instructions(assembly), {}, []
    for position, (label, instruction) in enumerate(lines):
        if label is not None:
            places[label] = position
        else:
            jump = _JUMP.match(instruction.text)
            if jump and jump.group(1) in places:
                spans.append((places[jump.group(1)], position))
    innermost = [
        (start, end)
        for start, end in spans
        if not any((a, b) != (start, end) and start <= a and b <= end for a, b in spans)
    ]
    return [[line for _, line in lines[start : end + 1] if line is not None] for start, end in innermost]


def multiplying_loops(assembly: str) -> list[list[Instruction]]:
    """Those innermost loops that multiply and add vectors."""
    return [loop for loop in innermost_loops(assembly) if any(line.multiplies_and_adds for line in loop)]


def widest_registers(assembly: str) -> int:
    """Bits of the widest vector register that is named anywhere; 0 if none is."""
    return max((width for _, line in instructions(assembly) if line is not None for width in line.widths), default=0)
