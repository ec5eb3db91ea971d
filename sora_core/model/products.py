"""Linear layers as the CPU does them best when nobody asks for gradients: oneDNN, with what follows in one pass.

PyTorch hands float32 to another library, and activation and residual to passes of their own over memory. oneDNN takes
both precisions, adds the residual and bends the activation before a value is rounded, and can keep weights in the order
in which it reads them. That order changes no bit of a result: whether there is memory for it is a matter of time only.
Without AVX-512 that other library, MKL, is the faster (`onednn_pays`), and what follows is done in place.

Processors without AVX-512 multiply no half precision: PyTorch does it number by number, 13 times slower than float32 in
a linear layer and 100 times in a convolution. There products of halves are done in float32, weights converted as they
are used, and what comes out is rounded once: `emulated`, `widen`.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import cast

import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F
from torch import Tensor, nn

from ..memory import free_memory, keep_freed

SHARE = 0.25  # of the free memory that a run may take for weights in oneDNN's order
_PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)
_HALVES = (torch.bfloat16, torch.float16)
_FEW = 32  # rows that do not repay the reordering
_SMALL = (
    1 << 20
)  # numbers of a weight: a smaller one is reordered when it was used _OFTEN times, for a run may be short
_OFTEN = 5
_INSIDE = 16 << 20  # bytes between the two layers of a feed-forward part: what the C library keeps, see `keep_freed`


class Packs:
    """Weights in oneDNN's order, for as long as a run lasts.

    They are copies, so a run has its own and drops them: weights that somebody edits between two runs are read again.
    """

    def __init__(self) -> None:
        keep_freed()
        self._packed: dict[nn.Linear, tuple[tuple[int, int], Tensor]] = {}
        self._uses: dict[nn.Linear, int] = {}
        self._left: float | None = None  # bytes that may still be taken

    def get(self, layer: nn.Linear, rows: int) -> Tensor:
        """Return a layer's weight, in oneDNN's order if there is room for it."""
        weight = layer.weight
        state = (weight.data_ptr(), weight._version)
        found = self._packed.get(layer)
        if found is not None and found[0] == state:
            return found[1]
        uses = self._uses[layer] = self._uses.get(layer, 0) + 1
        if rows < _FEW or (weight.numel() < _SMALL and uses < _OFTEN):
            return weight
        if self._left is None:
            self._left = SHARE * (free_memory() or 0)
        size = weight.nbytes if found is None else 0  # in the place of one that is out of date
        if size > self._left:
            return weight
        self._left -= size
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
        self._packed[layer] = state, packed
        return packed


_PACKS: ContextVar[Packs | None] = ContextVar("packs", default=None)


@contextmanager
def using(packs: Packs) -> Iterator[None]:
    """Let the layers that are called within take their weights from `packs`."""
    token = _PACKS.set(packs)
    try:
        yield
    finally:
        _PACKS.reset(token)


def traced() -> bool:
    """Tell whether a compiler reads what calls this.

    `torch.compiler.is_compiling` says so in every thread as soon as one compiles: another's run would change its ways
    in the middle, and no longer be bit by bit what it is alone.
    """
    # By its name: PyTorch has it from 2.7 on.
    exporting = getattr(torch.compiler, "_is_exporting_flag", False)
    return bool(torch.compiler.is_dynamo_compiling() or exporting or torch.jit.is_tracing())


def inferring(x: Tensor) -> bool:
    """Tell whether `x` is on the CPU with no gradient wanted: what is done in place and in pieces is right then only.

    A compiler makes its own passes of the plain formulas, and autocast chooses precisions of its own. Derivatives may
    be asked for without gradients too, forward (`torch.func.jvp`), and oneDNN's layers have none.
    """
    return (
        not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype in _PRECISIONS
        and not torch.is_autocast_enabled("cpu")
        and not traced()
        and not derived(x)
    )


def derived(x: Tensor) -> bool:
    """Tell whether derivatives are asked for forward, or a function's transform runs (`torch.func`)."""
    return forward_ad._current_level >= 0 or torch._C._functorch.is_functorch_wrapped_tensor(x)


def slow_halves() -> tuple[torch.dtype, ...]:
    """List the half precisions that this processor multiplies number by number, far slower than float32."""
    if not _SLOW:
        _SLOW["halves"] = _find_slow_halves()
    return _SLOW["halves"]


# What was found. A compiler reads it as it stands, where it could not ask the processor.
_SLOW: dict[str, tuple[torch.dtype, ...]] = {}


def _find_slow_halves() -> tuple[torch.dtype, ...]:
    if platform.machine().lower() not in ("x86_64", "amd64") or not torch.backends.mkldnn.is_available():
        return ()  # others are not measured, and are left to PyTorch
    try:
        known = (torch.ops.mkldnn._is_mkldnn_bf16_supported(), torch.ops.mkldnn._is_mkldnn_fp16_supported())
    except (AttributeError, RuntimeError):  # another PyTorch
        return ()
    return tuple(dtype for dtype, fast in zip(_HALVES, known, strict=True) if not fast)


def emulated(x: Tensor) -> bool:
    """Tell whether products of `x` in its own precision are done number by number here."""
    return x.dtype in _HALVES and x.device.type == "cpu" and x.dtype in slow_halves()


def widen(x: Tensor) -> Tensor:
    """Return `x` in float32 where products in its own precision are done number by number, else as it is."""
    return x.float() if emulated(x) else x


def narrow(y: Tensor, x: Tensor) -> Tensor:
    """Return `y`, made of `widen(x)`, in the precision of `x`."""
    return y.to(x.dtype) if emulated(x) else y


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `F.linear` of `x` `[...,D]` with a weight `[E,D]`, in float32 where that pays, as precise as `x`.

    weight, bias: in any precision.
    """
    wide = widen(x)
    return narrow(F.linear(wide, weight.to(wide.dtype), None if bias is None else bias.to(wide.dtype)), x)


def convolve(layer: nn.Module, x: Tensor) -> Tensor:
    """Return `layer(x)` of a convolution for `x` `[B,C,T,H,W]`, in float32 where that pays."""
    if type(layer) is not nn.Conv3d or not untouched(layer) or not emulated(x) or x.dtype != layer.weight.dtype:
        return cast(Tensor, layer(x))
    bias = None if layer.bias is None else layer.bias.float()
    return layer._conv_forward(x.float(), layer.weight.float(), bias).to(x.dtype)


@lru_cache(maxsize=1)
def onednn() -> tuple[torch.dtype, ...]:
    """List the precisions that oneDNN multiplies faster than PyTorch alone does on this processor."""
    if platform.machine().lower() not in ("x86_64", "amd64") or not torch.backends.mkldnn.is_available():
        return ()
    try:
        x = torch.ones(2, 2)
        with torch.no_grad():
            torch.ops.mkldnn._linear_pointwise(
                x, torch.ops.mkldnn._reorder_linear_weight(x, 2), x[0], "gelu", [], "tanh"
            )
            torch.ops.mkldnn._linear_pointwise.binary(x, x, x, x[0], "add")
            half = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    except (AttributeError, RuntimeError, NotImplementedError):  # another PyTorch, which has them under other names
        return ()
    return (torch.float32, torch.bfloat16) if half else (torch.float32,)


@lru_cache(maxsize=1)
def onednn_pays() -> bool:
    """Tell whether oneDNN is the faster: it is with AVX-512 (Zen 4), and 5 to 15% slower than MKL with AVX2 (Zen 3)."""
    return "AVX512" in torch.backends.cpu.get_cpu_capability()


def untouched(module: nn.Module) -> bool:
    """Tell whether nobody has hung anything on a module's call, or on those of all modules."""
    own = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    every = nn.modules.module
    shared = every._global_forward_hooks or every._global_forward_pre_hooks
    shared = shared or every._global_backward_hooks or every._global_backward_pre_hooks
    return not (own or shared) and "forward" not in module.__dict__


def direct(layer: nn.Module, x: Tensor) -> bool:
    """Tell whether a layer is PyTorch's own, with nothing hung on it, and oneDNN may have its weight as it is."""
    return (
        type(layer) is nn.Linear
        and inferring(x)
        and layer.bias is not None
        and x.dtype == layer.weight.dtype == layer.bias.dtype
        and x.dtype in onednn()
        and type(layer.weight) is nn.Parameter
        and not layer.weight.is_inference()
        and layer.weight.is_contiguous()
        and untouched(layer)
        and min(x.numel(), layer.weight.numel()) > 0
    )


def widens(layer: nn.Module, x: Tensor) -> bool:
    """Tell whether a layer is PyTorch's own, with nothing hung on it, and its weight is to be used in float32."""
    return (
        type(layer) is nn.Linear
        and x.dtype in (layer.weight.dtype, torch.float32)
        and emulated(layer.weight)
        and untouched(layer)
        and not torch.is_autocast_enabled("cpu")
    )


def linear(layer: nn.Module, x: Tensor, gelu: bool = False, add: Tensor | None = None) -> Tensor:
    """Return `layer(x)` for `x` `[...,D]`, through GELU (its tanh form) or, not both, with `add` `[...,E]` added.

    A layer of halves that `widens` takes `x` in float32 too, and returns what it took.
    """
    made = (*x.shape[:-1], layer.out_features) if isinstance(layer, nn.Linear) else None
    if made is not None and add is not None and (add.dtype != x.dtype or add.shape != made):
        return linear(layer, x) + add  # which spreads, or has another precision, as in any sum
    if isinstance(layer, nn.Linear) and widens(layer, x):
        wide = x.float()
        bias = None if layer.bias is None else layer.bias.float()
        y = F.linear(wide, layer.weight.float(), bias)
        y = F.gelu(y, approximate="tanh") if gelu else y
        return (y if add is None else y.add_(add) if inferring(y) else y + add).to(x.dtype)
    if not direct(layer, x) or not isinstance(layer, nn.Linear):
        y = layer(x)
        y = F.gelu(y, approximate="tanh") if gelu else y
        return y if add is None else add + y
    if not onednn_pays():
        y = F.linear(x, layer.weight, layer.bias)
        y = torch.ops.aten.gelu_(y, approximate="tanh") if gelu else y
        return y if add is None else y.add_(add)
    packs, rows = _PACKS.get(), x.numel() // x.shape[-1]
    weight = layer.weight if packs is None else packs.get(layer, rows)
    if add is not None:
        return torch.ops.mkldnn._linear_pointwise.binary(x, add, weight, layer.bias, "add")
    kind, form = ("gelu", "tanh") if gelu else ("none", "")
    return torch.ops.mkldnn._linear_pointwise(x, weight, layer.bias, kind, [], form)


def plain_feed_forward(part: nn.Module) -> bool:
    """Tell whether a part is two layers with GELU (its tanh form) between them, with nothing hung on the whole."""
    if type(part) is not nn.Sequential or len(part) != 3 or type(part[1]) is not nn.GELU:
        return False
    return part[1].approximate == "tanh" and untouched(part) and untouched(part[1])


def feed_forward(part: nn.Module, x: Tensor) -> Tensor:
    """Return tokens `x` `[B,N,D]`, the caller's own to be used up, through `part`: two layers with GELU between them.

    The many channels between the two are held for some of the tokens at a time where no gradients are wanted.
    """
    if not plain_feed_forward(part):
        return cast(Tensor, part(x))
    first, _, second = cast(nn.Sequential, part)
    width = first.out_features if isinstance(first, nn.Linear) else 4 * x.shape[-1]
    rows = x.numel() // max(x.shape[-1], 1)
    pieces = -(-rows * width * x.element_size() // _INSIDE)
    # What hangs on a layer may count the tokens.
    if pieces < 2 or not inferring(x) or not x.is_contiguous() or not (untouched(first) and untouched(second)):
        return linear(second, linear(first, x, gelu=True))
    flat, wide = x.view(rows, -1), widens(first, x) and widens(second, x)
    for some in flat.split(-(-rows // pieces)):
        # Not rounded between the two.
        some.copy_(linear(second, linear(first, some.float() if wide else some, gelu=True)))
    return x
