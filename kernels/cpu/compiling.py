"""Makes machine code of a kernel body, once: Numba's front end, one run of LLVM over all of it, an object file.

Numba itself would optimise and assemble every helper of a body on its own, and again as a part of each of its callers,
and would wrap all of them for calls from Python: for a convolution's driver that takes four times as long as it need.
Here the helpers stay LLVM's code until the body is whole. The result is an object file with one function,

    void kernel(int64 begin, int64 end, const int64 *arguments)

that refers to nothing but the C library: to load it takes no types and no compiler, only LLVM's linker. A body that
needs more, such as one that allocates memory, is refused. (Where a body does what Python forbids, such as a range with
the step 0, it ends there: nobody could be told.)
"""

import contextlib
import ctypes
import functools
from collections.abc import Callable, Iterator

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import codegen, registry, types
from numba.core.ccallback import _CFuncCompiler
from numba.core.compiler import Compiler
from numba.core.compiler_lock import global_compiler_lock

ENTRY = "kernel"  # the function's name in the object file
PYTHON = ("Py", "numba_", "NRT_")  # how the names of functions begin that need the interpreter or Numba

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()
with llvm.ffi.OutputString() as _error:  # no name: the process itself, for the C library's memset and memcpy
    llvm.ffi.lib.LLVMPY_LoadLibraryPermanently(None, _error)


# ---- the machine -----------------------------------------------------------------------------------------------------


@functools.cache
def machine() -> tuple[str, str]:
    """The processor's name and its features, as LLVM writes them: what code is made for."""
    name = numba.config.CPU_NAME or llvm.get_host_cpu_name()
    features = numba.config.CPU_FEATURES
    return name, codegen.get_host_cpu_features() if features is None else features


def _target_machine() -> llvm.TargetMachine:
    name, features = machine()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    relocation = "static" if target.name.startswith("x86") else "default"
    return target.create_target_machine(name, features, opt=3, reloc=relocation, codemodel="jitdefault")


# ---- compiling -------------------------------------------------------------------------------------------------------

# Numba makes a Python function of every helper. Ours have no machine code of their own; whoever calls one from Python
# all the same gets to this function of Python's, which raises SystemError for what is not a bound method.
_NOT_CALLABLE = ctypes.cast(ctypes.pythonapi.PyMethod_Self, ctypes.c_void_p).value


class _Unassembled(codegen.JITCodeLibrary):
    """A function as LLVM's code, together with what it calls: neither optimised nor assembled."""

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout

    def finalize(self):
        for library in dict.fromkeys(self._linking_libraries):
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True

    def get_pointer_to_function(self, name):
        self._ensure_finalized()
        return _NOT_CALLABLE


@contextlib.contextmanager
def _unassembled() -> Iterator[codegen.JITCPUCodegen]:
    """Within it, Numba leaves functions as LLVM's code. Needs the compiler's lock."""
    generator = registry.cpu_target.target_context.codegen()
    before = generator._library_class
    generator._library_class = _Unassembled
    generator.set_env = lambda name, environment: None  # environments are for calls from Python
    try:
        yield generator
    finally:
        generator._library_class = before
        del generator.set_env


class _BodyCompiler(_CFuncCompiler):
    """Numba's compiler without a wrapper: ours is in `_add_entry`."""

    def _customize_flags(self, flags):
        flags = super()._customize_flags(flags)
        flags.no_cfunc_wrapper = True
        return flags


def _add_entry(result) -> None:
    """The function `ENTRY`, which calls what Numba made of a body and forgets whether it ended with an exception: to
    tell Python of one would take Python."""
    context, native = result.target_context, result.fndesc
    module = context.create_module("entry")
    callee = ir.Function(
        module, context.call_conv.get_function_type(native.restype, native.argtypes), native.llvm_func_name
    )
    arguments = [context.get_value_type(kind) for kind in native.argtypes]
    entry = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), ENTRY)
    builder = ir.IRBuilder(entry.append_basic_block())
    context.call_conv.call_function(builder, callee, native.restype, native.argtypes, entry.args)
    builder.ret_void()
    result.library.add_ir_module(module)


def _check_leaves_python(body: Callable, module: llvm.ModuleRef) -> None:
    """Raise TypeError for a body that refers to what is not there without Python."""
    needed = {function.name for function in module.functions if function.is_declaration}
    missing = sorted(name for name in needed if name.startswith(PYTHON))
    if missing:
        raise TypeError(
            f"kernel {body.__qualname__} needs {', '.join(missing)}: it does what only Python can, such as raising an "
            "exception or allocating memory"
        )


@global_compiler_lock
def _module(function: Callable, arguments: tuple[types.Type, ...]) -> llvm.ModuleRef:
    """Optimised code of `function`, whose result is nothing: the C function `ENTRY`, and no other that can be seen."""
    options = {"nopython": True, "error_model": "numpy", "fastmath": function.fastmath, "boundscheck": False}
    with _unassembled() as generator:
        result = _BodyCompiler(function, registry.cpu_target, options, {}, Compiler).compile(arguments, types.void)
        _add_entry(result)
        result.library._ensure_finalized()
        module = result.library._final_module
        for symbol in (*module.functions, *module.global_variables):
            if not symbol.is_declaration and symbol.name != ENTRY:
                symbol.linkage = "internal"
        # As Numba does: the first pass inlines and turns loops around, so that the second finds them to be vectorised.
        for options in ({"loop_vectorize": False, "slp_vectorize": False, "opt": 0, "cost": "cheap"}, {}):
            passes, builder = generator._module_pass_manager(**options)
            passes.run(module, builder)
    module.verify()
    _check_leaves_python(function, module)
    return module


def object_code(function: Callable, arguments: tuple[types.Type, ...]) -> bytes:
    """`function` for arguments of these types, compiled: an object file for `Loaded`. Raises Numba's errors, and
    TypeError for a function that may raise an exception."""
    return _target_machine().emit_object(_module(function, arguments))


def assembly(function: Callable, arguments: tuple[types.Type, ...]) -> str:
    """The same as text, to be read."""
    return _target_machine().emit_assembly(_module(function, arguments))


# ---- loading ---------------------------------------------------------------------------------------------------------


class Loaded:
    """Machine code in memory: `address` is that of the function, which lives as long as this object."""

    def __init__(self, content: bytes):
        self._engine = llvm.create_mcjit_compiler(
            llvm.parse_assembly(""), _target_machine(), use_lmm=numba.config.USE_LLVMLITE_MEMORY_MANAGER
        )
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(content))
        self._engine.finalize_object()
        self.address = self._engine.get_function_address(ENTRY)
        if not self.address:
            raise ValueError(f"an object file without a function {ENTRY!r}")
