"""A whole training step as one recorded graph of operations on the device, replayed without Python in between.

A step of a small model is a fraction of a millisecond of arithmetic in some hundred operations, and to launch each of them
from Python takes longer than to compute it. A CUDA graph holds them all, from the gather of rows to the average of the
weights, and launches them at once. What it reads and writes stays where it is: weights, the optimiser's state, clocks and
averages are the tensors that a step outside of the graph uses too, so both may alternate.

Recording executes nothing and draws no random number. What Python computes in a step is computed once, when it is recorded:
a step must be a function of tensors.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from vaekit.data.batches import Batch
from vaekit.errors import ConfigError
from vaekit.training.host_reads import HostReads
from vaekit.training.meter import Kept, kept_of
from vaekit.training.settings import Settings
from vaekit.training.step import Step, accepts

if TYPE_CHECKING:
    from lightning_fabric import Fabric

WARM, MOST_RENEWED = 3, 10
NORM = "gradient_norm"


class Capture(Protocol):
    """A way to record what a function does to tensors, and to do it again."""

    def working(self) -> AbstractContextManager[None]:
        """Return the context in which all steps are taken, recorded or not."""

    def record(self, function: Callable[[], Kept]) -> Callable[[], Kept]:
        """Record a function; what is returned does the same to the same tensors, and returns the same tensors, filled anew.

        Raises:
            RuntimeError: if it does what cannot be recorded. Nothing has been executed then.
        """

    def forget(self) -> None:
        """Prepare for other recordings: those made so far are not replayed again."""


class CudaCapture:
    """Records CUDA graphs, which share their memory, because none keeps anything there from one replay to the next.

    Arguments:
        device: the CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Work on a stream of its own: the one of the process cannot be recorded, and no step may be left on another one."""
        outer = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(outer)
        try:
            with torch.cuda.stream(self.stream):
                yield
        finally:
            outer.wait_stream(self.stream)

    def record(self, function: Callable[[], Kept]) -> Callable[[], Kept]:
        """Record a function; other threads, which may be reading data, go on meanwhile."""
        graph = torch.cuda.CUDAGraph()
        try:
            with (
                torch.cuda.stream(self.stream),
                torch.cuda.graph(graph, self.pool, self.stream, capture_error_mode="thread_local"),
            ):
                outputs = function()
        except RuntimeError:
            self._release_generator()
            raise

        def replay() -> Kept:
            graph.replay()
            return outputs

        return replay

    def forget(self) -> None:
        """Use other memory from now on, because that of graphs which are no more cannot be shared."""
        self.pool = torch.cuda.graph_pool_handle()

    def _release_generator(self) -> None:
        """Give the generator a state of its own, equal to the one that a failed recording left tied up."""
        generator = torch.cuda.default_generators[self.device.index or 0]
        generator.graphsafe_set_state(generator.clone_state())


class Recording:
    """A function of tensors, recorded: inputs are copied in, it is replayed, outputs are copied out.

    Arguments:
        function: maps input tensors to named outputs; those that are no tensors are constants.
        inputs: examples of the inputs.
        capture: records it.
    """

    def __init__(
        self, function: Callable[[Sequence[Tensor]], Kept], inputs: Sequence[Tensor], capture: Capture
    ) -> None:
        self.inputs = [tensor.clone() for tensor in inputs]
        self.replay = capture.record(partial(function, self.inputs))

    @torch.no_grad()
    def __call__(self, inputs: Sequence[Tensor]) -> Kept:
        """Compute the outputs for inputs of the same shapes."""
        torch._foreach_copy_(self.inputs, list(inputs))
        outputs = self.replay()
        held = {name: value for name, value in outputs.items() if isinstance(value, Tensor)}
        copies = {name: torch.empty_like(value) for name, value in held.items()}
        torch._foreach_copy_(list(copies.values()), list(held.values()))
        return {**outputs, **copies}


class LearningRates:
    """The learning rates of an optimiser as tensors on the device, by which a schedule reaches recorded steps.

    The optimiser itself keeps numbers, which schedules change and checkpoints hold.

    Arguments:
        optimizer: whose rates they are.
        device: where the weights are.
    """

    def __init__(self, optimizer: Optimizer, device: torch.device) -> None:
        self.optimizer = optimizer
        self.known = [float(group["lr"]) for group in optimizer.param_groups]
        self.tensors = [torch.tensor(rate, dtype=torch.float32, device=device) for rate in self.known]

    def refresh(self) -> None:
        """Bring the tensors up to date."""
        for i, group in enumerate(self.optimizer.param_groups):
            if (rate := float(group["lr"])) != self.known[i]:
                self.known[i] = rate
                self.tensors[i].fill_(rate)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Have the optimiser read the tensors."""
        for group, tensor in zip(self.optimizer.param_groups, self.tensors, strict=True):
            group["lr"] = tensor
        try:
            yield
        finally:
            for group, rate in zip(self.optimizer.param_groups, self.known, strict=True):
                group["lr"] = rate


class GraphedStep:
    """Takes whole training steps: the first few of a kind an operation at a time, the others as a recorded graph.

    A kind is the shape of a batch, and whether the gradient's norm is asked for. If the optimiser's options change, other
    than the learning rate, steps are recorded anew.

    Arguments:
        step: what is recorded.
        capture: records it.
        say: is told, once, why steps cannot be recorded, if they cannot.
        insists: refuse to train then, rather than to go on an operation at a time.
    """

    def __init__(self, step: Step, capture: Capture, say: Callable[[str], None], insists: bool = False) -> None:
        self.step, self.capture, self.say, self.insists = step, capture, say, insists
        self.device = step.strategy.root_device
        self.rates = LearningRates(step.optimizer, self.device)
        self.options: object = None
        self.renewed = 0
        self.seen: Counter[object] = Counter()
        self.recorded: dict[object, Recording] = {}
        self.possible = True
        warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")

    def __call__(self, batch: Batch, norm: bool) -> Kept:
        """Take a step on a batch; return what the meter keeps of it, and the gradient's norm if asked for."""
        self.rates.refresh()
        self._begin_anew_if_changed()
        kind = (norm, *(tensor.shape for tensor in batch.stored))
        if kind in self.recorded:
            return self.recorded[kind](batch.stored)
        function = partial(self._take, batch.make, norm)
        self.seen[kind] += self.possible
        if self.seen[kind] > WARM:
            return self._recorded(kind, function, batch.stored)
        return self._watched(function, batch.stored) if self.seen[kind] == WARM else function(batch.stored)

    def _take(self, make: Callable[..., tuple[Tensor, ...]], norm: bool, stored: Sequence[Tensor]) -> Kept:
        terms = self.step.forward(make(*stored))
        self.step.backward(terms, 1.0)
        kept = kept_of(terms)
        if norm:
            kept[NORM] = self.step.gradient_norm()
        with self.rates.lent():
            self.step.update()
        return kept

    def _watched(self, function: Callable[[Sequence[Tensor]], Kept], stored: Sequence[Tensor]) -> Kept:
        """Take the last step before a recording, and see whether it could have been recorded."""
        with HostReads(self.device) as reads:
            kept = function(stored)
        if reads.found:
            self._give_up(f"{reads.found[0]} makes the processor wait for the device")
        return kept

    def _recorded(self, kind: object, function: Callable[[Sequence[Tensor]], Kept], stored: Sequence[Tensor]) -> Kept:
        """Record a step and take it."""
        try:
            self.recorded[kind] = Recording(function, stored, self.capture)
        except RuntimeError as error:
            self.step.drop_gradient()
            self._give_up(" ".join(str(error).split())[:200])
            return function(stored)
        return self.recorded[kind](stored)

    def _begin_anew_if_changed(self) -> None:
        options = [[v for k, v in g.items() if k not in ("params", "lr")] for g in self.step.optimizer.param_groups]
        if options == self.options or not self.possible:
            return
        self.options, self.renewed = options, 0 if self.recorded else self.renewed + 1
        self._forget()
        if self.renewed > MOST_RENEWED:
            self._give_up("a schedule changes more than the learning rate in every step")

    def _forget(self) -> None:
        self.seen.clear()
        self.recorded.clear()
        self.capture.forget()

    def _give_up(self, reason: str) -> None:
        """Go on an operation at a time, and say so.

        Raises:
            ConfigError: if steps had to be recorded.
        """
        if self.insists:
            raise ConfigError(
                f"`cuda_graph` is True, but a step cannot be recorded: {reason}. Set it to None or False."
            )
        self.possible = False
        self._forget()
        self.say(f"Steps are taken an operation at a time, because they cannot be recorded as a CUDA graph: {reason}.")


def obstacle(settings: Settings, fabric: Fabric) -> str | None:
    """Say why steps cannot be recorded under these settings, None if they can."""
    reasons = {
        "several processes share every step": fabric.world_size > 1,
        f"`strategy` is {settings.strategy!r}": settings.strategy != "auto",
        "`accumulate` makes one step of several batches": settings.accumulate > 1,
        "`precision` 16-mixed reads the scale of its loss": settings.precision == "16-mixed",
        "`every_step` is set": settings.every_step,
        "`compile` is set": settings.compile,
        "`optimizer` has no option `capturable`": not accepts(settings.optimizer, "capturable"),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def make_capture(settings: Settings, fabric: Fabric, given: Capture | None = None) -> Capture | None:
    """Return what records steps, CUDA graphs if nothing else is given, where that is possible and not switched off.

    Raises:
        ConfigError: if it is asked for and not possible.
    """
    reason = obstacle(settings, fabric)
    if reason is None and given is None and fabric.device.type != "cuda":
        reason = f"the device is of the kind {fabric.device.type!r}"
    if settings.cuda_graph and reason is not None:
        raise ConfigError(
            f"`cuda_graph` is True, but {reason}. Set it to None, which records steps where that is possible."
        )
    return None if settings.cuda_graph is False or reason is not None else given or CudaCapture(fabric.device)
