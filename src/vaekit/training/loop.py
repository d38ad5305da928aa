"""The training loop: small, because one step of a small model lasts a fraction of a millisecond.

Nothing is read from the device between reports. What a step needs of engines (devices, precision, several processes) comes
from Lightning Fabric's strategy; what may stop, save, resume and report a run is here.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor

from vaekit.batch_mean import shared_batch
from vaekit.conditional import unvalidated
from vaekit.data.batches import Batch
from vaekit.data.dataset import Dataset
from vaekit.errors import NonFiniteError
from vaekit.evaluation.scorer import is_normalised
from vaekit.memory import kept_memory
from vaekit.model import VAE
from vaekit.objectives import Objective, Terms
from vaekit.text import RELAXED
from vaekit.training.display import Display
from vaekit.training.engine import ShardedStrategy, make_fabric
from vaekit.training.graph import NORM, Capture, GraphedStep, make_capture
from vaekit.training.meter import Meter, Reading, Row
from vaekit.training.options import options_of
from vaekit.training.processes import Agreement, Wish, by_first
from vaekit.training.recorder import Recorder
from vaekit.training.saving import CHECKPOINTS, LAST, Progress, Saver
from vaekit.training.settings import Settings
from vaekit.training.sharded import gathered, unsharded
from vaekit.training.snapshots import Snapshots
from vaekit.training.step import Pass, Step, first_non_finite, made, make_optimizer
from vaekit.training.stop import Stop

AfterEpoch: TypeAlias = Callable[[int, Mapping[str, Row]], object]


class Trainer:
    """Fits a model to data by an objective, and keeps the run's folder.

    Arguments:
        model: what is fitted, in place.
        objective: what is minimised; buffers of one that is a module are saved and resumed.
        data: the splits.
        settings: the numbers of the loop.
        folder: the run's folder, or None to keep nothing on disk.
        resume: continue from the folder's last checkpoint.
        fabric: what was launched for these settings already; absent, it is launched here.
        capture: records whole steps; absent, as CUDA graphs where the settings allow it.

    Attributes:
        after_epoch: called by the first process after every epoch, once it is saved, with its number from 1 and the averages
            of each split; training stops where it returns True.
    """

    after_epoch: AfterEpoch | None = None

    def __init__(
        self,
        model: VAE,
        objective: Objective,
        data: Dataset,
        settings: Settings,
        folder: Path | None,
        resume: bool = False,
        fabric: Fabric | None = None,
        capture: Capture | None = None,
    ) -> None:
        self.settings, self.data, self.given = settings, data, model
        self.fabric = fabric or make_fabric(settings)
        self.strategy, self.device = self.fabric.strategy, self.fabric.device
        self.model = model = copy.deepcopy(model) if isinstance(self.strategy, ShardedStrategy) else model
        self.passing = Pass(model, objective).to(self.device).train()
        model.zero_grad()
        module = self.strategy.setup_module(self.passing)
        if settings.compile:
            module.compile()
        self.capture = make_capture(settings, self.fabric, capture)
        self.optimizer = make_optimizer(settings.optimizer, list(model.parameters()), recorded=self.capture is not None)
        self.options = options_of(self.optimizer, settings)
        self.schedule = made("schedule", settings.schedule, self.optimizer) if settings.schedule else None
        self.step = Step(module, model, self.optimizer, self.strategy, settings)
        self.graphed = (
            GraphedStep(self.step, self.capture, self._say, bool(settings.cuda_graph)) if self.capture else None
        )
        self.loader = data.loader(
            settings.batch_size,
            device=self.device,
            seed=settings.seed,
            rank=self.fabric.global_rank,
            world=self.fabric.world_size,
        )
        self.rows, self.together = len(data.train), settings.batch_size * settings.accumulate
        self.shared = self.fabric.world_size > 1
        self.agreement = Agreement(self.fabric)
        self.relaxed, self.progress = not is_normalised(model.likelihood), Progress()
        self.meter = Meter(settings.every_step, self.shared, settings.accumulate, self.relaxed)
        self.saver = Saver(self, folder)
        self._start(folder, resume)

    def _start(self, folder: Path | None, resume: bool) -> None:
        """Seed a new run, whose schedules begin at step 0, or take up an old one."""
        torch.manual_seed(self.settings.seed + 1_000_003 * self.fabric.global_rank)
        rows = self.saver.restore(folder / CHECKPOINTS / LAST) if resume and folder else None
        writes = folder if self.fabric.is_global_zero else None
        self.recorder = Recorder(writes, self.settings.tensorboard, rows, self.taken if resume else 0)
        self.snapshots = Snapshots(self.model, self.data, self.recorder)
        if not resume:
            for clock in self.model.clocks():
                clock.zero_()
            self.saver.save_last()

    @property
    def taken(self) -> int:
        """How many steps the optimiser has taken."""
        return int(self.model.step.item())

    @property
    def steps_per_epoch(self) -> int:
        """How many steps the optimiser takes in an epoch."""
        return -(-self.loader.steps // self.settings.accumulate)

    def run(self) -> Progress:
        """Train until the last epoch, an early stop, or a request to stop."""
        total = self.steps_per_epoch * self.settings.epochs
        shows = self.settings.progress and self.fabric.is_global_zero
        with (
            closing(self.recorder),
            Stop() as self.stop,
            Display(total, self.taken, shows) as self.display,
            unvalidated(self.model),
            kept_memory(self.device),
            self.capture.working() if self.capture else nullcontext(),
            products(self.settings.matmul),
        ):
            while self.progress.epoch < self.settings.epochs and not self.progress.finished:
                if not self._epoch():
                    self.saver.save_last()
                    self.progress.interrupted = self.stop.signal
                    break
                self._after_epoch()
        return self.progress

    def finish(self) -> None:
        """Leave the averaged weights, if any, and all weights in the model that was given, and the objective at rest."""
        self.passing.eval()
        if self.step.average is not None and self.step.average.averages:
            self.step.average.write()
        if self.model is not self.given:
            self.given.to(self.device).load_state_dict(gathered(self.model.state_dict()))

    def _epoch(self) -> bool:
        """Train for the rest of an epoch; tell whether it was finished."""
        self.clock, group = time.perf_counter(), self.settings.accumulate
        steps = self.loader.steps
        for index, batch in enumerate(self.loader.epoch(self.progress.epoch, self.progress.batch), self.progress.batch):
            last, reports = index + 1 == steps, len(self.meter) + 1 >= self.settings.log_every * group
            if self.graphed is not None:
                norm = self._graphed_step(self.graphed, batch, reports or last)
            else:
                self._batch(batch, batch.share * self._part(index))
                if (index + 1) % group and not last:
                    continue
                norm = self.step.gradient_norm() if reports or last else 0.0
                self.step.update()
            self._advance_schedule(each_step=True)
            self.progress.batch = index + 1
            if reports or last:
                self._report(norm)
            if self._wants_to_stop() and not last:
                return False
        return True

    def _part(self, index: int) -> float:
        """Return which part of the examples of a step is in a batch of the epoch."""
        size, rows, first = self.settings.batch_size, self.rows, index - index % self.settings.accumulate
        return (min(rows, (index + 1) * size) - index * size) / (min(rows, first * size + self.together) - first * size)

    def _batch(self, batch: Batch, weight: float) -> None:
        with shared_batch(batch.share > 0) if self.shared else nullcontext():
            terms = self.step.forward(batch.given)
        if self.step.checks_each_step and not self.shared and not math.isfinite(terms.loss.item()):
            self._refuse(terms)
        self.step.backward(terms, weight)
        self.meter.add(terms, counted=batch.share > 0)

    def _graphed_step(self, graphed: GraphedStep, batch: Batch, reports: bool) -> Tensor | float:
        """Take a whole step at once; return the gradient's norm where it is reported."""
        kept = graphed(batch, reports)
        norm: Tensor | float = kept.pop(NORM, 0.0)
        self.meter.keep(kept)
        return norm

    def _wants_to_stop(self) -> bool:
        """Save where it is time to, and tell whether a stop was requested; several processes agree on both."""
        agreed = self.agreement.reach(Wish(self.stop.signal, self.saver.is_due()))
        if agreed == Wish():
            return False
        self._require_finite()
        if agreed.save:
            self.saver.save_last()
        self.stop.signal = agreed.stop or self.stop.signal
        return agreed.stop is not None

    def _advance_schedule(self, each_step: bool) -> None:
        if self.schedule is not None and self.settings.schedule_per_step == each_step:
            self.schedule.step()

    def _report(self, norm: Tensor | float) -> None:
        """Record the averages since the last report."""
        reading = self.meter.read()
        if not math.isfinite(reading.values["loss"]):
            self._refuse_reading(reading)
        seconds, self.clock = time.perf_counter() - self.clock, time.perf_counter()
        values = {
            **reading.values,
            **annealed(self.model),
            "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
            "gradient_norm": float(norm),
        }
        epoch, step = self.progress.epoch + 1, self.taken
        self.recorder.record("train", step, epoch, values, reading.rates)
        self.recorder.record_steps(reading.steps, step - len(reading.steps) + 1)
        self.recorder.throughput(reading.examples / seconds, step)
        self.display.update(step, reading.values, reading.examples / seconds)
        self.progress.collect(reading)

    def _after_epoch(self) -> None:
        """Report the epoch, evaluate, and keep what is worth keeping."""
        self._require_finite()
        epoch = self.progress.epoch + 1
        average = self.progress.epoch_average()
        self.recorder.record("epoch", self.taken, epoch, average, {})
        found = {"train": average}
        self._advance_schedule(each_step=False)
        self.progress.next_epoch()
        with self._averaged():
            if len(self.data.validation) and epoch % self.settings.evaluate_every == 0:
                found["validation"] = self._validate(epoch)
            if len(self.data.test) and self.settings.test_every and epoch % self.settings.test_every == 0:
                found["test"] = self._evaluate("test", epoch)
        self.display.finished_epoch(epoch, found)
        self.saver.save_last()
        if self.settings.figures_every and epoch % self.settings.figures_every == 0:
            self._take_snapshots(epoch)
        if self.after_epoch is not None and by_first(self.fabric, partial(self.after_epoch, epoch, found)) is True:
            self.progress.finished = True

    def _take_snapshots(self, epoch: int) -> None:
        with self._averaged(), unsharded(self.passing):
            if self.fabric.is_global_zero:
                self.snapshots.take(epoch, self.taken)

    def _validate(self, epoch: int) -> Row:
        """Evaluate on the validation split, keep the best checkpoints, and stop where patience ends."""
        values = self._evaluate("validation", epoch)
        self.progress.judge(values["loss"])
        self.saver.keep_if_best(values["loss"], epoch)
        patience = self.settings.patience
        if patience is not None and self.progress.waited >= patience:
            self.progress.finished = True
            self.display.say(f"stopped early: no better validation loss in {patience} evaluations")
        return values

    def _evaluate(self, split: str, epoch: int) -> Row:
        reading = self.judge(split)
        self.recorder.record(split, self.taken, epoch, reading.values, reading.rates)
        return reading.values

    @torch.no_grad()
    def judge(self, split: str) -> Reading:
        """Average the objective's terms over a split, with noise that is the same for every epoch and number of processes."""
        rank, world = self.fabric.global_rank, self.fabric.world_size
        meter = Meter(shared=self.shared, relaxed=self.relaxed)
        self.passing.eval()
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []), unsharded(self.passing):
            for index, given in enumerate(self.data.batches(split, self.settings.batch_size, self.device)):
                mine = index % world == rank
                if mine or index == 0:
                    torch.manual_seed(self.settings.seed + index)
                    with self.strategy.precision.forward_context():
                        meter.add(self.passing.forward(*given), counted=mine)
                    meter.fold()
        self.passing.train()
        return meter.read()

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Evaluate the averaged weights where there are any."""
        with self.step.average.applied() if self.step.average else nullcontext():
            yield

    def _say(self, text: str) -> None:
        self.display.say(text)

    def _refuse(self, terms: Terms) -> None:
        """Stop because the loss of the coming step is not finite."""
        rate = "rate" if terms.is_divergence else "prior_cost"
        means = {"distortion": terms.distortion.mean().item(), rate: terms.rate.mean().item()}
        if first_non_finite(self.model) is None and terms.loss.requires_grad:
            self.step.backward(terms, 1.0)
        self._raise_non_finite(f"Step {self.taken + 1}", told({**means, "loss": terms.loss.item()}))

    def _refuse_reading(self, reading: Reading) -> None:
        """Stop because an average since the last report is not finite."""
        bad = next((i for i, row in enumerate(reading.steps) if not math.isfinite(row["loss"])), 0)
        known = f"Step {self.taken - len(reading.steps) + bad + 1}" if reading.steps else f"By step {self.taken}"
        self._raise_non_finite(known, told(reading.values))

    def _require_finite(self) -> None:
        """Stop before weights that are not finite are evaluated or saved."""
        if first_non_finite(self.model) is not None:
            self._raise_non_finite(f"By step {self.taken}", "an update of the weights is not finite")

    def _raise_non_finite(self, where: str, what: str) -> None:
        raise NonFiniteError(
            f"{where}: {what}; the first parameter that is not finite is "
            f"{first_non_finite(self.model) or 'none'}. The last good state is {self.saver.last_known()}. Lower the learning "
            f"rate, clip the gradient (clip=1.0), or look for extreme values in the data."
        )


@contextmanager
def products(precision: str | None) -> Iterator[None]:
    """Set the precision of products of single-precision matrices for a while, by torch's name; None leaves it as it is."""
    if precision is None:
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def annealed(model: VAE) -> Row:
    """Collect what the parts of a model say of their annealed quantities."""
    parts = [cast(Any, m) for m in model.modules() if hasattr(m, "annealed")]
    return {name: value for part in parts for name, value in part.annealed().items()}


def told(values: Row) -> str:
    """Say which term of a loss that is not finite is not."""
    parts = ("distortion", f"{RELAXED}distortion", "rate", "prior_cost")
    term = next((name for name in parts if not math.isfinite(values.get(name, 0.0))), "loss")
    return f"the {term.replace('_', ' ')} is {values[term]:g}"
