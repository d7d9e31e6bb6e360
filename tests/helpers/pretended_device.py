"""A pretended accelerator: torch's device "pretended:0", whose tensors lie in the host's memory.

Torch treats its tensors as those of another device, and its kernels are those of the CPU. Rules are
those of CUDA: an operation on tensors of two devices fails, ``numpy`` fails, a generator belongs to
a device, and reading a number waits for the device. A captured graph repeats its kernels on the
memory they had, and nothing else. `counts` counts kernels, waits and copies from the host.

`register` makes the device. Afterwards, `replace_cuda` makes the next import of a package
read every mention of CUDA as this device, so that branches for CUDA run, in unmodified files. Both
change torch for the rest of the process: use a process of its own.

Not shown: concurrent streams, a capture next to other threads, several devices, an allocator, the
choices of cuDNN and cuBLAS, NCCL.
"""

import ctypes
import importlib.abc
import importlib.machinery
import sys
import types
import warnings
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache, partial
from typing import NamedTuple

import torch
from torch.utils import backend_registration

NAME = "pretended"
HOOKS = "_setup_privateuseone_for_python_backend"
IS_SUPPORTED = hasattr(backend_registration, HOOKS)
REASON = "this version of torch has no hooks for a device that is written in Python"

counts: Counter[str] = Counter()  # "kernels", "waits", "copies", "replays", operations by name
settings = types.SimpleNamespace(has_float64=True, free_memory=2**33, current_device=0)

# Device types of DLPack; the second is torch's PrivateUse1.
CPU, EXTERNAL = 1, 12
CPU_KEY = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
AUTOCAST_KEY = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)
aten = torch.ops.aten
CPUGenerator = torch.Generator

capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
capsule_pointer.restype = ctypes.c_void_p
capsule_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


# ------------------------------------------------------------ tensors


def relabel(tensor, device_type):
    """Return a tensor of the same memory on the device of a type of DLPack."""
    capsule = torch._C._to_dlpack(tensor)
    ctypes.c_int32.from_address(capsule_pointer(capsule, b"dltensor") + 8).value = device_type
    result = torch._C._from_dlpack(capsule)
    if result.stride() != tensor.stride():  # DLPack forgets the strides of axes of length 1
        strided = aten.as_strided.default
        result = strided.redispatch(CPU_KEY, result, tensor.shape, tensor.stride(), 0)
    return result


def is_on_device(value):
    return isinstance(value, torch.Tensor) and not (value.is_cpu or value.is_meta)


def to_host(value):
    """Replace tensors, generators and devices of the device by those of the CPU."""
    if is_on_device(value):  # relabelled memory cannot grow, as an empty `out` must
        return relabel(value, CPU) if value.numel() else torch.empty(value.shape, dtype=value.dtype)
    if isinstance(value, torch.Tensor):  # a graph keeps a number of the host as it was
        return value.clone() if capture.graph else value
    if isinstance(value, Generator):
        return value.inner
    return torch.device("cpu") if isinstance(value, torch.device) else value


def to_device(value):
    if not isinstance(value, torch.Tensor):
        return value
    if value.dtype == torch.float64 and not settings.has_float64:
        raise TypeError("Cannot convert a tensor to float64: the device does not support it.")
    return relabel(value, EXTERNAL)


# ------------------------------------------------------------ generators

generators: weakref.WeakValueDictionary = weakref.WeakValueDictionary()  # by address in C++


def address_of(generator):
    return ctypes.c_void_p.from_address(id(generator) + object.__basicsize__).value


class Generator(CPUGenerator):
    """A generator with a device, which torch cannot make in Python.

    Its object in C++ carries the device only, so that operations of the CPU refuse it. Numbers come
    from ``inner``, a generator of the CPU, and are those that the CPU would draw.
    """

    FORWARDED = ("get_state", "set_state", "initial_seed", "seed")

    def __new__(cls, device="cpu"):
        if torch.device(device).type != NAME:
            return CPUGenerator(device)
        self = super().__new__(cls)
        cls.set_device_field(address_of(self), self)
        self.inner, self.graphs, self.is_broken = CPUGenerator("cpu"), [], False
        generators[address_of(self)] = self
        return self

    @staticmethod
    def set_device_field(address, generator):
        """Find the field of the device in the object in C++, and set it."""
        for offset in range(8, 128):
            field = ctypes.c_int16.from_address(address + offset)
            if field.value == -256:  # CPU, index -1
                field.value = 20  # PrivateUse1, index 0
                if CPUGenerator.device.__get__(generator).type == NAME:
                    return
                field.value = -256
        raise RuntimeError("torch.Generator has no field that looks like a device")

    def manual_seed(self, seed):
        self.inner.manual_seed(seed)
        return self

    def clone_state(self):
        twin = Generator(NAME)
        twin.set_state(self.get_state())
        return twin

    def graphsafe_set_state(self, twin):
        """Continue with another state, which no graph knows and no failed capture has broken."""
        self.inner, self.graphs, self.is_broken = twin.inner, [], False

    def __getattribute__(self, name):
        if name in Generator.FORWARDED:
            return getattr(object.__getattribute__(self, "inner"), name)
        return object.__getattribute__(self, name)


default_generators: list[Generator] = []  # one, after `register`


# ------------------------------------------------------------ operations


def words(text):
    return frozenset(text.split())


# These read numbers from the device, and so wait for it.
WAITING = words("""
    _local_scalar_dense nonzero masked_select _unique2 unique_dim unique_consecutive equal bincount
    histc linalg_eigh _linalg_eigh linalg_inv_ex _linalg_solve_ex _linalg_svd linalg_qr is_nonzero
    repeat_interleave masked_scatter_
""")
# These have no deterministic kernel on CUDA.
NONDETERMINISTIC = words("""
    _adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward adaptive_max_pool2d_backward
    adaptive_max_pool3d_backward max_pool3d_with_indices_backward avg_pool3d_backward cumsum cumsum_
    grid_sampler_2d_backward grid_sampler_3d_backward
""")
# These accept indices on the CPU, and copy them.
TAKING_INDICES = words("index index_put_ index_put _index_put_impl_ _unsafe_index")
PRODUCTS = {
    getattr(aten, name).default
    for name in words("mm bmm addmm baddbmm convolution convolution_backward")
}


class Facts(NamedTuple):
    """What the schema of an operation says, and what computes it on the host."""

    name: str
    draws: bool
    writes: bool  # to an argument, which may grow
    takes_tensors: tuple[bool, ...]  # for each parameter
    compute: Callable


@cache
def facts_of(op):
    parameters = op._schema.arguments
    names = {a.name for a in parameters}
    return Facts(
        name=op.overloadpacket.__name__,
        draws="generator" in names,
        writes=any(a.alias_info and a.alias_info.is_write for a in parameters),
        takes_tensors=tuple(str(a.type) == "Tensor" for a in parameters),
        compute=partial(multiply, op) if op in PRODUCTS else op,
    )


def run(op, *args, **kwargs):
    """Run an operation of the device by the kernel of the CPU."""
    name, draws, writes, takes_tensors, compute = facts_of(op)
    counts["kernels"] += 1
    counts[name] += 1
    if draws and not any(isinstance(x, CPUGenerator) for x in (*args, *kwargs.values())):
        kwargs["generator"] = default_generators[0]
    originals, aliases = {}, []  # by the identity of what stands for them on the host

    def stand_in(x):
        if not is_on_device(x):
            x = original(x)
            check_device(name, x)
        alias = to_host(x)
        if isinstance(alias, torch.Tensor):
            aliases.append(alias)
            if is_on_device(x):
                originals[id(alias)] = x
        return alias

    # A number of Python may stand for a tensor.
    args = [
        torch.tensor(x) if takes_tensor and isinstance(x, bool | int | float)
        else convert(x, stand_in)
        for x, takes_tensor in zip(args, takes_tensors, strict=False)
    ]  # fmt: skip
    is_placed = any(isinstance(x, torch.device) for x in kwargs.values())
    kwargs = {key: convert(x, stand_in) for key, x in kwargs.items()}
    check_rules(name, args)
    capture.save(op, args, kwargs)
    with torch.device("cpu") if is_placed else nullcontext():
        result = compute(*args, **kwargs)
    capture.record(compute, args, kwargs, result, aliases)
    if writes:
        for alias in aliases:
            x = originals.get(id(alias))
            if x is not None and alias.shape != x.shape:
                x.data = relabel(alias, EXTERNAL)
    return convert(result, lambda x: originals[id(x)] if id(x) in originals else to_device(x))


def multiply(op, *args, **kwargs):
    """Multiply in float32, and round to half precision once, as a GPU does; a CPU may be slow."""
    halves = {x.dtype for x in args if isinstance(x, torch.Tensor)} & {torch.bfloat16, torch.half}
    if not halves:
        return op(*args, **kwargs)

    def to(dtype, x):
        return x.to(dtype) if isinstance(x, torch.Tensor) else x

    result = op(*convert(args, partial(to, torch.float32)), **kwargs)
    return convert(result, partial(to, *halves))


def original(value):
    """Return the generator that torch wraps in another object of Python."""
    return generators.get(address_of(value), value) if isinstance(value, CPUGenerator) else value


def leaves(values):
    """Yield values, and those in lists of them."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from leaves(value)
        else:
            yield value


def convert(value, function):
    """Apply a function to a value, or to every value in a list."""
    if isinstance(value, list | tuple):
        return type(value)(convert(x, function) for x in value)
    return function(value)


def check_device(name, x):
    """Raise RuntimeError if an argument is a tensor or a generator of another device."""
    if isinstance(x, torch.Tensor):
        if name in TAKING_INDICES and x.dtype in (torch.int64, torch.bool):
            count_copy(x)
        elif x.ndim:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two "
                f"devices, {NAME}:0 and cpu! (in {name})"
            )
    if isinstance(x, CPUGenerator):
        if not isinstance(x, Generator):
            raise RuntimeError(
                f"Expected a {NAME!r} device type for generator but found 'cpu' (in {name})"
            )
        capture.check_generator(x)


def check_rules(name, args):
    """Count an operation that waits; raise RuntimeError if the device has none of that name."""
    has_mask = name in TAKING_INDICES and any(
        isinstance(x, torch.Tensor) and x.dtype == torch.bool for x in leaves(args[1])
    )
    # A single draw, or one without replacement, is checked on the host.
    draws_one = name == "multinomial" and (args[1] == 1 or not args[2])
    if name in WAITING or has_mask or draws_one:
        wait(name)
    is_strict = not torch.is_deterministic_algorithms_warn_only_enabled()
    if name in NONDETERMINISTIC and torch.are_deterministic_algorithms_enabled() and is_strict:
        raise RuntimeError(f"{name} does not have a deterministic implementation")


def wait(name):
    counts.update(("waits", f"waits: {name}"))
    if capture.graph:
        capture.fail(f"CUDA error: operation not permitted when stream is capturing ({name})")


def count_copy(tensor):
    """Count a copy from the host; a graph takes it from pinned memory only."""
    counts["copies"] += 1
    if capture.graph and not getattr(tensor, "is_said_to_be_pinned", False):
        capture.fail(
            "Cannot copy between CPU and CUDA tensors during CUDA graph capture unless the CPU "
            "tensor is pinned."
        )


def copy_(target, source, non_blocking=False):
    if is_on_device(target) and is_on_device(source):
        return run(aten.copy_.default, target, source)
    if is_on_device(target):
        count_copy(source)
        relabel(target, CPU).copy_(source)
    else:
        wait("copy to the host")
        target.copy_(relabel(source, CPU))
    return target


def copy_from(source, target, non_blocking=False):
    return copy_(target, source, non_blocking)


def empty(op, *args, device=None, pin_memory=None, **kwargs):
    return to_device(op(*args, **kwargs, device="cpu"))


def dropout(x, p, train):
    """Draw from the default generator of the device, not from that of the CPU."""
    is_kept = torch.empty_like(x, dtype=torch.bool).bernoulli_(1 - p if train else 1.0)
    return x * is_kept / (1 - p if train and p < 1 else 1), is_kept


# ------------------------------------------------------------ autocast

# Operations that autocast computes in half precision, in float32, or in the widest type of their
# arguments, as on CUDA (ATen/autocast_mode.h).
POLICIES = {
    "half": """conv1d conv2d conv3d conv_transpose1d conv_transpose2d.input conv_transpose3d.input
        convolution prelu addmm addmv addr matmul einsum mm mv linear addbmm baddbmm bmm
        scaled_dot_product_attention""",
    "single": """exp expm1 log log10 log2 log1p reciprocal rsqrt softplus layer_norm group_norm
        cosine_similarity nll_loss l1_loss smooth_l1_loss mse_loss dist pdist cdist logsumexp
        binary_cross_entropy_with_logits norm.Scalar softmax.int log_softmax.int cumsum cumprod sum
        sum.dim_IntList prod pow.Tensor_Scalar pow.Tensor_Tensor pow.Scalar""",
    "widest": """addcdiv addcmul atan2 bilinear cross dot grid_sampler index_put scatter_add
        tensordot vdot""",
}


def is_cast(x):
    return is_on_device(x) and x.is_floating_point() and x.dtype != torch.float64


def cast(op, policy, *args, **kwargs):
    half, single = torch.get_autocast_dtype(NAME), torch.float32
    dtypes = {x.dtype for x in leaves((*args, *kwargs.values())) if is_cast(x)}
    widest = single if single in dtypes else half
    dtype = {"half": half, "single": single, "widest": widest}[policy]
    with torch._C._ExcludeDispatchKeyGuard(AUTOCAST_KEY):

        def to_dtype(x):
            return x.to(dtype) if is_cast(x) else x

        arguments = {name: convert(x, to_dtype) for name, x in kwargs.items()}
        return op(*(convert(x, to_dtype) for x in args), **arguments)


# ------------------------------------------------------------ graphs


class Capture:
    """What is being captured, if anything is; its kernels leave no trace in memory."""

    def __init__(self):
        self.graph = None
        self.saved = []

    def save(self, op, args, kwargs):
        """Save the memory that an operation is about to write to."""
        if not self.graph:
            return
        named = dict(zip((a.name for a in op._schema.arguments), args, strict=False)) | kwargs
        written = [
            named.get(a.name)
            for a in op._schema.arguments
            if (a.alias_info and a.alias_info.is_write) or a.name.startswith("running_")
        ]
        tensors = [x for x in leaves(written) if isinstance(x, torch.Tensor)]
        self.saved += [(x, x.clone()) for x in tensors if x.numel()]

    def record(self, op, args, kwargs, result, aliases):
        if self.graph:
            inputs = {id(x) for x in aliases}
            self.graph.kernels.append((op, args, kwargs, as_list(result), inputs))

    def check_generator(self, generator):
        if self.graph and self.graph not in generator.graphs:
            self.fail("Attempt to increase offset for a CUDA generator not in capture mode.")
        if not self.graph and generator.is_broken:
            raise RuntimeError("Offset increment outside graph capture encountered unexpectedly.")

    def fail(self, message):
        """Invalidate the capture; as in torch up to 2.12, generators remain in capture mode."""
        for generator in self.graph.generators:
            generator.is_broken = True
        raise RuntimeError(message)

    @contextmanager
    def __call__(self, cuda_graph, pool=None, stream=None, capture_error_mode="global"):
        """Record the operations in the ``with`` block; the signature is that of torch.cuda.graph"""
        counts[f"captures: {capture_error_mode}"] += 1
        self.graph, states = cuda_graph, [g.inner.get_state() for g in cuda_graph.generators]
        try:
            yield
        finally:
            for generator, state in zip(cuda_graph.generators, states, strict=True):
                generator.inner.set_state(state)
            self.graph = None
            while self.saved:
                memory, content = self.saved.pop()
                memory.copy_(content)


capture = Capture()


def as_list(result):
    return result if isinstance(result, tuple | list) else [result]


class CUDAGraph:
    """The kernels of a step, and the memory they work on."""

    def __init__(self):
        self.kernels = []
        self.generators = []
        self.register_generator_state(default_generators[0])

    def register_generator_state(self, generator):
        if settings.current_device != generator.device.index:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        generator.graphs.append(self)
        self.generators.append(generator)

    def replay(self):
        counts["replays"] += 1
        for op, args, kwargs, results, inputs in self.kernels:
            for old, new in zip(results, as_list(op(*args, **kwargs)), strict=True):
                if isinstance(old, torch.Tensor) and id(old) not in inputs:
                    old.copy_(new)


# ------------------------------------------------------------ the module torch.pretended


class Stream(torch.Stream):
    """All streams are one: kernels run in the order of their launches."""

    def __new__(cls, device=None, **kwargs):
        return super().__new__(cls, device=torch.device(NAME, 0))


@contextmanager
def device_block(device):
    """Note which device is current in the ``with`` block: by its index, without a second one."""
    before = settings.current_device
    counts["device blocks"] += 1
    settings.current_device = torch.device(device).index
    try:
        yield
    finally:
        settings.current_device = before


class Module(types.ModuleType):
    """The functions of torch.cuda that training needs."""

    OutOfMemoryError = torch.OutOfMemoryError
    Stream, Event, CUDAGraph, graph = Stream, torch.Event, CUDAGraph, capture
    default_generators = default_generators
    is_available = is_initialized = is_bf16_supported = staticmethod(lambda *_: True)
    device_count = staticmethod(lambda: 1)
    current_device = staticmethod(lambda: settings.current_device)
    _is_in_bad_fork = staticmethod(lambda: False)
    _lazy_init = empty_cache = reset_peak_memory_stats = staticmethod(lambda *_: None)
    max_memory_allocated = memory_allocated = staticmethod(lambda *_: 0)
    mem_get_info = staticmethod(lambda *_: (settings.free_memory, 2**33))
    get_device_capability = staticmethod(lambda *_: (9, 0))
    get_device_name = staticmethod(lambda *_: "a pretended GPU")
    get_amp_supported_dtype = staticmethod(lambda: [torch.bfloat16, torch.float16])
    graph_pool_handle = staticmethod(object)
    manual_seed = staticmethod(lambda seed: default_generators[0].manual_seed(seed))
    manual_seed_all = manual_seed
    get_rng_state = staticmethod(lambda *_: default_generators[0].get_state())
    set_rng_state = staticmethod(lambda state, *_: default_generators[0].set_state(state))
    current_stream = staticmethod(lambda *_: Stream())
    stream = staticmethod(lambda stream: nullcontext())
    device = staticmethod(device_block)
    synchronize = staticmethod(lambda *_: wait("synchronize"))


# ------------------------------------------------------------ registration

libraries = ExitStack()  # a library of kernels must outlive its use
VIEWS = words("as_strided view _reshape_alias unfold view.dtype view_as_real view_as_complex")


def has_device():
    """Whether this process has the device."""
    return bool(default_generators)


def reads_cuda():
    """Whether this process reads CUDA as this device."""
    return any(isinstance(finder, Finder) for finder in sys.meta_path)


def overload(name):
    packet, _, variant = name.partition(".")
    return getattr(getattr(aten, packet), variant or "default")


def structured():
    """Names of operations with kernels of their own, for which torch makes the result's memory."""
    keys = ("CompositeExplicitAutogradNonFunctional", "CPU")
    of_keys = [torch._C._dispatch_get_registrations_for_dispatch_key(key) for key in keys]
    return {name.removeprefix("aten::") for name in set.intersection(*map(set, of_keys))}


def register():
    """Make ``torch.device("pretended")`` work."""
    getattr(backend_registration, HOOKS)(NAME, backend_module=Module(NAME))
    everything = libraries.enter_context(torch.library._scoped_library("_", "IMPL"))
    everything.fallback(run, "PrivateUse1")
    everything.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    kernels = {"copy_": copy_, "_copy_from": copy_from, "native_dropout": dropout}
    kernels["record_stream"] = lambda *_: None
    kernels |= {n: partial(empty, overload(n)) for n in ("empty.memory_format", "empty_strided")}
    # Views touch no memory: torch's own kernels make true aliases.
    kernels |= {name: partial(overload(name).redispatch, CPU_KEY) for name in VIEWS}
    # Convolutions have other names on a CPU. Torch would run others as `empty`, then with `out`.
    for name in ("convolution", "convolution_backward", *(structured() - kernels.keys())):
        kernels[name] = partial(run, overload(name))
    library = libraries.enter_context(torch.library._scoped_library("aten", "IMPL"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "overriding a previously registered kernel"
        for name, kernel in kernels.items():
            library.impl(name, kernel, "PrivateUse1")
        for policy, names in POLICIES.items():
            for name in words(names):
                library.impl(name, partial(cast, overload(name), policy), "AutocastPrivateUse1")
    torch.Generator = Generator
    default_generators.append(Generator(NAME))
    torch.optim.Optimizer._accelerator_graph_capture_health_check = check_optimizer
    torch.Tensor.pin_memory = pin_memory
    deepcopy = torch.Tensor.__deepcopy__
    torch.Tensor.__deepcopy__ = lambda tensor, memo: deepcopy_tensor(deepcopy, tensor, memo)


def pin_memory(tensor, device=None):
    pinned = tensor.clone()
    pinned.is_said_to_be_pinned = True
    return pinned


def deepcopy_tensor(deepcopy, tensor, memo):
    """Copy without an allocator of storages, which torch would ask for."""
    if not is_on_device(tensor) or isinstance(tensor, torch.nn.Parameter):
        return deepcopy(tensor, memo)
    return memo.setdefault(id(tensor), tensor.detach().clone())


def check_optimizer(optimizer):
    """Check what torch checks before a step of an optimiser on CUDA."""
    is_capturable = all(group["capturable"] for group in optimizer.param_groups)
    if capture.graph and not is_capturable:
        capture.fail("Attempting CUDA graph capture of step() but capturable is False.")
    has_warned = getattr(optimizer, "_warned_capturable_if_run_uncaptured", False)
    if is_capturable and not capture.graph and not has_warned:
        warnings.warn(
            "This instance was constructed with capturable=True, but step() is running without "
            "CUDA graph capture.",
            stacklevel=2,
        )
        optimizer._warned_capturable_if_run_uncaptured = True


# ------------------------------------------------------------ CUDA read as this device

READ_AS = {"torch.cuda": f"torch.{NAME}", '"cuda"': f'"{NAME}"', ".is_cuda": f".is_{NAME}"}


class Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname):
        source = self.get_data(self.path).decode()
        for mention, replacement in READ_AS.items():
            source = source.replace(mention, replacement)
        return compile(source, self.path, "exec", dont_inherit=True)


class Finder(importlib.abc.MetaPathFinder):
    def __init__(self, package):
        self.package = package

    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] != self.package:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None:
            spec.loader = Loader(fullname, spec.origin)
        return spec


def replace_cuda(package):
    """Replace CUDA by this device in a package, which must not be imported yet."""
    if package in sys.modules:
        raise RuntimeError(f"{package!r} is imported already.")
    sys.meta_path.insert(0, Finder(package))
