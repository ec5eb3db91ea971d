"""Blocks that PyTorch's compiler makes one program of each: `torch.compile`, with inductor.

It joins what stands between the matrix products into loops of its own, which saves passes over memory and calls. The
first call of every shape waits for it, some seconds on two cores; what it made is kept on disk, in
`TORCHINDUCTOR_CACHE_DIR`, for the next process. On a CPU with AVX-512 it loses more than it wins, `compiling_pays`.
"""

from __future__ import annotations

import copy
import inspect
from typing import TypeVar

import torch
from torch import nn

from ..errors import SoraError
from .dit import DiT
from .products import onednn, onednn_pays, slow_halves

SHAPES = 64  # that one process compiles a block for, before it runs further ones as they are
_Module = TypeVar("_Module", bound=nn.Module)


def compiling_pays(device: torch.device) -> bool:
    """Tell whether compiled blocks are the faster ones: not on a CPU whose oneDNN is, as inductor calls MKL."""
    return device.type != "cpu" or not (onednn() and onednn_pays())


def compile_blocks(dit: DiT) -> None:
    """Compile a transformer block by block, for each shape of latents anew.

    One block compiled is compiled for all; the whole model would take minutes for every shape. What is hung on layers
    within a block once it has run goes unnoticed, PyTorch does not look there.
    """
    slow_halves()  # found before the compiler comes to it
    settings, how = torch._dynamo.config, {}
    most = max(SHAPES, settings.recompile_limit)
    if "recompile_limit" in inspect.signature(torch.compile).parameters:
        how["recompile_limit"] = most
    else:
        # In PyTorch of today this holds in the thread that sets it alone, and runs may be another's.
        settings.recompile_limit = most
    for block in [*dit.blocks, *([] if dit.detail is None else [dit.detail])]:
        block.compile(dynamic=False, **how)


def compiled(dit: DiT) -> DiT:
    """Return the same transformer on the same weights, with compiled blocks; `dit` itself stays as it is.

    Raises SoraError where nothing can be compiled, and for a transformer that is shared among devices.
    """
    check_compiler(next(dit.parameters()).device)
    other = _sharing(dit)
    compile_blocks(other)
    other.share(dit._shard)  # which refuses that
    return other


def check_compiler(device: torch.device) -> None:
    """Raise SoraError unless PyTorch compiles a small function for a device here: it needs other programs to."""
    try:
        torch.compile(lambda x: x.sin() + 1, dynamic=False)(torch.ones(16, device=device))
    except Exception as wrong:  # what it raises differs by version, and by what is missing
        reason = str(wrong).strip().split("\n", 1)[0][:200]
        raise SoraError(
            "torch.compile does not work here: on a CPU it needs a C++ compiler (g++, clang++, MSVC), on a GPU Triton. "
            f"Install it, or go on without compiling. PyTorch says: {reason or type(wrong).__name__}"
        ) from wrong


def _sharing(module: _Module) -> _Module:
    """Copy a module and those in it, but not their weights: what is set on a copy leaves the first one alone."""
    other = copy.copy(module)
    for name, kept in list(vars(other).items()):
        if isinstance(kept, (dict, set)):  # of weights by name, and of what hangs on the module
            other.__dict__[name] = copy.copy(kept)
    other._modules = {name: None if part is None else _sharing(part) for name, part in module._modules.items()}
    return other
