"""What a run computes on: one or several processes, each with its own device, on one or several machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ...core.errors import InputError
from ..data.pairs import Pair

ACCELERATORS = ("cpu", "cuda", "auto")
PRECISIONS = ("", "32", "bf16")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Hardware:
    """What to compute on; InputError if it cannot be had.

    accelerator: `cpu`, `cuda`, or `auto` (CUDA where there is a device). devices: processes on each machine, each with
    its own device. nodes: machines; each one is given MASTER_ADDR, MASTER_PORT and NODE_RANK in its environment, or
    runs under torchrun or SLURM. precision: of the network that is trained, `32`, `bf16` (autocast) or empty for what
    the configuration says. threads: CPU threads of each process; None leaves them as they are.
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
        """Whether to compute in bfloat16, for a configuration that says so or not."""
        return self.precision == "bf16" if self.precision else configured

    def start(self) -> Processes:
        """Start the other processes where there are to be several, and meet them."""
        accelerator = self._accelerator()
        several = self.devices * self.nodes > 1
        strategy = "ddp" if several else "auto"
        fabric = Fabric(accelerator=accelerator, devices=self.devices, num_nodes=self.nodes, strategy=strategy)
        fabric.launch()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        return Processes(fabric)

    def _accelerator(self) -> str:
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if self.accelerator == "cpu" or (self.accelerator == "auto" and not found):
            return "cpu"
        if self.devices > found:
            raise InputError(f"{self.devices} CUDA devices are asked for, but {found} can be used here.")
        return "cuda"


class Processes:
    """The processes of a run, seen from one of them; all have to call the methods that say "together".

    Fabric starts and joins them. Its wrapper of networks is left aside: in bfloat16 it would round the images too, and
    it cannot hand out a frozen dataclass.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.device: torch.device = fabric.device
        self.rank: int = fabric.global_rank
        self.count: int = fabric.world_size

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def parallel(self, network: nn.Module, partly_used: bool = False) -> nn.Module:
        """Move a network to the device; returns what to call so that its gradients are the mean over the processes.

        partly_used: whether there are steps in which some of its parameters take no part. Together.
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
        """Whether a flag is set in any process; together."""
        if self.count == 1:
            return flag
        value = torch.tensor(float(flag), device=self.device)
        return bool(self._reduce(value, "max") > 0)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their means over the processes, for a network not made `parallel`; together."""
        if self.count == 1:
            return
        known = list(parameters)
        slopes = [torch.zeros_like(p) if p.grad is None else p.grad for p in known]
        mean = self._reduce(torch.cat([s.flatten() for s in slopes]), "mean")
        for parameter, part in zip(known, mean.split([p.numel() for p in known]), strict=True):
            parameter.grad = part.view_as(parameter).clone()

    def _reduce(self, tensor: Tensor, how: str) -> Tensor:
        reduced = self.fabric.all_reduce(tensor, reduce_op=how)
        assert isinstance(reduced, Tensor)
        return reduced

    def gather(self, tensor: Tensor) -> Tensor:
        """The tensors (...) of all processes, (processes, ...), on the CPU; together."""
        if self.count == 1:
            return tensor[None].cpu()
        parts = [torch.empty_like(tensor, device=self.device) for _ in range(self.count)]
        torch.distributed.all_gather(parts, tensor.to(self.device))
        return torch.stack(parts).cpu()

    def in_turn(self, function: Callable[[], Result]) -> Result:
        """Call a function first in the first process, then in the first of each machine, then in the others; together.

        So that what one of them prepares and keeps in a file serves the others, on a shared disk or not.
        """
        turn = 0 if self.is_first else 1 if self.fabric.local_rank == 0 else 2
        for now in range(3 if self.count > 1 else 1):
            if now == turn:
                result = function()
            if self.count > 1:
                self.fabric.barrier()
        return result

    def close(self, done: bool) -> None:
        """Part; a first process that failed takes along those it started, which would wait for it forever."""
        if not done:
            children = getattr(self.fabric.strategy.launcher, "procs", [])
            ended = children.copy()
            children.clear()  # Fabric watches this list, and ends a process whose children have ended in distress
            for child in ended:
                child.kill()
                child.wait()
        elif self.count > 1:
            self.fabric.barrier()  # ending a group whose last work holds tensors of Python can wait for itself
            torch.distributed.destroy_process_group()
