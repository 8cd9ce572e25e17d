"""The hardware of a run: one or several processes, each with its own device, on one or several machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ...core.errors import InputError
from ...core.network.inference import has_fast_bfloat16
from ..data.pairs import Pair

ACCELERATORS = ("cpu", "cuda", "auto")
PRECISIONS = ("", "32", "bf16")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Hardware:
    """The hardware to use; InputError if it is not available.

    accelerator: `cpu`, `cuda`, or `auto` (CUDA if there is a device). devices: processes on each machine, each with its
    own device. nodes: machines; each needs MASTER_ADDR, MASTER_PORT and NODE_RANK in its environment, or runs under
    torchrun or SLURM. precision: of the trained network, `32`, `bf16` (autocast), or empty for that of the
    configuration, but 32 on a CPU that only imitates bfloat16. threads: CPU threads of each process; None: unchanged.
    """

    accelerator: str = "cpu"
    devices: int = 1
    nodes: int = 1
    precision: str = ""
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.accelerator not in ACCELERATORS:
            raise InputError(f"The accelerator has to be one of {', '.join(ACCELERATORS)}, got '{self.accelerator}'.")
        if self.precision not in PRECISIONS:
            raise InputError(f"The precision has to be 32 or bf16, got '{self.precision}'.")
        if min(self.devices, self.nodes) < 1 or (self.threads is not None and self.threads < 1):
            raise InputError("The numbers of devices, of nodes and of threads have to be 1 or more.")

    def bfloat16(self, configured: bool) -> bool:
        """Whether to compute in bfloat16, given the setting of the configuration."""
        if self.precision:
            return self.precision == "bf16"
        return configured and (self._accelerator() == "cuda" or has_fast_bfloat16())

    def start(self) -> Processes:
        """Start the other processes, if there are several, and connect to them."""
        accelerator = self._accelerator()
        several = self.devices * self.nodes > 1
        strategy = "ddp" if several else "auto"
        fabric = Fabric(accelerator=accelerator, devices=self.devices, num_nodes=self.nodes, strategy=strategy)
        fabric.launch()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        return Processes(fabric)

    def _accelerator(self) -> str:
        available = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if self.accelerator == "cpu" or (self.accelerator == "auto" and not available):
            return "cpu"
        if self.devices > available:
            raise InputError(f"{self.devices} CUDA devices are requested, but {available} are available.")
        return "cuda"


class Processes:
    """The processes of a run, from the view of one of them. All processes have to make the "collective" calls.

    Fabric starts and connects them. Its wrapper of networks is not used: in bfloat16 it would round the images too, and
    it cannot return a frozen dataclass.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.device: torch.device = fabric.device
        self.rank: int = fabric.global_rank
        self.count: int = fabric.world_size

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and reports."""
        return self.rank == 0

    def parallel(self, network: nn.Module, partly_used: bool = False) -> nn.Module:
        """Move a network to the device; returns a module whose gradients are averaged over the processes. Collective.

        partly_used: whether some steps do not use all of its parameters.
        """
        self.fabric.to_device(network)
        if self.count == 1:
            return network
        devices = None if self.device.type == "cpu" else [self.device]
        return DistributedDataParallel(network, devices, find_unused_parameters=partly_used)

    def move(self, pair: Pair) -> Pair:
        """A pair on this process's device."""
        if self.device.type == "cpu":
            return pair
        moved: dict[str, Any] = {}
        for name in (f.name for f in fields(pair)):
            value = getattr(pair, name)
            moved[name] = None if value is None else value.to(self.device)
        return Pair(**moved)

    def any(self, flag: bool) -> bool:
        """Whether a flag is set in any process. Collective."""
        if self.count == 1:
            return flag
        value = torch.tensor(float(flag), device=self.device)
        return bool(self._reduce(value, "max") > 0)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their means over the processes, for a network not made `parallel`. Collective."""
        if self.count == 1:
            return
        listed = list(parameters)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in listed]
        mean = self._reduce(torch.cat([g.flatten() for g in gradients]), "mean")
        for parameter, part in zip(listed, mean.split([p.numel() for p in listed]), strict=True):
            parameter.grad = part.view_as(parameter).clone()

    def _reduce(self, tensor: Tensor, how: str) -> Tensor:
        reduced = self.fabric.all_reduce(tensor, reduce_op=how)
        assert isinstance(reduced, Tensor)
        return reduced

    def gather(self, tensor: Tensor) -> Tensor:
        """The tensors (...) of all processes, (processes, ...), on the CPU. Collective."""
        if self.count == 1:
            return tensor[None].cpu()
        parts = [torch.empty_like(tensor, device=self.device) for _ in range(self.count)]
        torch.distributed.all_gather(parts, tensor.to(self.device))
        return torch.stack(parts).cpu()

    def in_turn(self, function: Callable[[], Result]) -> Result:
        """Call a function in the first process, then in the first of each machine, then in the others. Collective.

        The others can then use the files that the first one prepared, with or without a shared disk.
        """
        turn = 0 if self.is_first else 1 if self.fabric.local_rank == 0 else 2
        for now in range(3 if self.count > 1 else 1):
            if now == turn:
                result = function()
            if self.count > 1:
                self.fabric.barrier()
        return result

    def close(self, is_done: bool) -> None:
        """Disconnect the processes; a first process that failed kills those it started, which would wait forever."""
        if not is_done:
            children = getattr(self.fabric.strategy.launcher, "procs", [])
            killed = children.copy()
            children.clear()  # Fabric watches this list and ends a process whose children have failed
            for child in killed:
                child.kill()
                child.wait()
        elif self.count > 1:
            self.fabric.barrier()  # without it, destroying a group that still has work with Python tensors can deadlock
            torch.distributed.destroy_process_group()
