"""The reader of assembly itself, on loops written by hand: it must see a spill, a missing multiply-add, a copy."""

import pytest
from assembly import Instruction, innermost_loops, multiplying_loops, widest_registers

LOOP = """
kernel:
	pushq	%rbx
	vmovups	64(%rsp), %zmm9
.LBB0_1:
	movq	%rax, %rcx
.LBB0_2:                                # inner loop
	vbroadcastss	4(%r12), %zmm29
	vmovups	(%r15), %zmm24
	vfmadd231ps	%zmm24, %zmm29, %zmm19
	vfmadd231ps	(%r15,%rbx,4), %zmm29, %zmm18
	decq	%r14
	jne	.LBB0_2
	vmovaps	%zmm1, 128(%rsp)
	decq	%rcx
	jne	.LBB0_1
	retq
	jmp	.LBB0_9
.LBB0_9:
"""


def test_the_innermost_loop_is_found_and_its_instructions_are_told_apart():
    (loop,) = innermost_loops(LOOP)
    assert [line.name for line in loop] == [
        "vbroadcastss", "vmovups", "vfmadd231ps", "vfmadd231ps", "decq", "jne",
    ]  # fmt: skip
    assert sum(line.multiplies_and_adds for line in loop) == 2
    assert sum(line.loads for line in loop) == 3
    assert not any(line.spills or line.copies_register for line in loop)
    assert multiplying_loops(LOOP) == [loop]
    assert widest_registers(LOOP) == 512
    assert widest_registers(LOOP.replace("zmm", "ymm")) == 256
    assert widest_registers("kernel:\n\tretq\n") == 0


@pytest.mark.parametrize(
    "spill",
    [
        "vmovups	192(%rsp), %zmm24",
        "vmovaps	%zmm24, (%rsp)",
        "vfmadd231ps	1616(%rsp), %zmm0, %zmm24",
        "vfmadd231ps	(%rsp){1to16}, %zmm0, %zmm24",
        "vmovups	64(%rsp,%rax,8), %ymm1",
    ],
)
def test_a_spill_is_seen(spill):
    (loop,) = innermost_loops(LOOP.replace("	vmovups	(%r15), %zmm24", "\t" + spill))
    assert sum(line.spills for line in loop) == 1


def test_what_does_not_spill_a_vector_is_no_spill():
    for line in ("movq	64(%rsp), %rdx", "vmovups	64(%rbp), %zmm1", "vaddps	%zmm1, %zmm2, %zmm3"):
        assert not Instruction(line).spills
    assert Instruction("movq	64(%rsp), %rdx").touches_stack


def test_copies_of_registers_are_seen():
    assert Instruction("vmovaps	%zmm24, %zmm3").copies_register
    assert Instruction("vmovdqa64	%ymm24, %ymm3").copies_register
    for line in ("vmovaps	(%rax), %zmm3", "vmovups	%zmm3, 64(%rax,%rcx,4)", "vpermilps	$85, %zmm1, %zmm2"):
        assert not Instruction(line).copies_register


def test_a_loop_whose_multiply_adds_are_gone_is_not_taken_for_one():
    assert multiplying_loops(LOOP.replace("vfmadd231ps", "vaddps")) == []
