r"""What an evaluation says, for programs (`as_dict`, `to_json`) and for people (`rich.print`, `findings`).

All numbers are means over examples, in nats per example unless the name says otherwise; a standard error is the spread over
examples divided by the root of their number, so it speaks of the sample of test data, not of another training run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rich.table import Table

OF_THE_LIKELIHOOD = ("elbo", "distortion", "log_likelihood")
TUPLES = ("rates", "code_variances", "group_information")


class Finding(NamedTuple):
    """One line of an evaluation for a person.

    Attributes:
        name: what was measured.
        value: the number as text, with its standard error where it has one, or why there is none.
        unit: its unit.
        meaning: a sentence on how to read it.
    """

    name: str
    value: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Evaluation:
    r"""How well a model explains data.

    Attributes:
        elbo: the evidence lower bound on log p(x), -distortion - rate; None where no bound exists.
        rate: the divergence of posterior from prior; None where it is infinite.
        distortion: minus the expected log-likelihood of the data given the latents.
        log_likelihood: the importance-sampled estimate of log p(x) with `samples` latents (Burda et al., 2016), itself a
            lower bound in expectation; None where no bound exists.
        bits_per_dim: the code length -log p(x) over the number of elements, in bits, an upper bound in expectation; None where
            no code length exists.
        standard_error: of each of the above by name, over examples; None for one example.
        samples: how many latents were drawn per example.
        examples: how many examples were seen.
        dimensions: the number of elements of an example.
        latents: the number of latents D.
        rates: the mean divergence of each latent or group, or of all together, shape (G,); None where the rate is.
        code_variances: the variance over the data of each latent's posterior mean, shape (D,).
        active_units: how many of those exceed 0.01 (Burda et al., 2016); of groups of categories, how many tell more than 0.01
            nats of the data.
        closed_form: whether the rates are exact given the posterior, rather than estimated at its samples.
        relaxed: whether the likelihood is not normalised, so that no number here is a likelihood.
        bound_reason: why `elbo`, `rate` and `log_likelihood` are None.
        bits_per_dim_reason: why `bits_per_dim` is None.
        units_offset: the nats to add to minus a log-density for that of the values as they are stored, where it was scaled.
        group_information: what each group of categories tells of the data in nats, E KL(q(z|x) || E q(z|x)), shape (G,); None
            where latents are numbers.
    """

    elbo: float | None
    rate: float | None
    distortion: float
    log_likelihood: float | None
    bits_per_dim: float | None
    standard_error: Mapping[str, float | None]
    samples: int
    examples: int
    dimensions: int
    latents: int
    rates: tuple[float, ...] | None
    code_variances: tuple[float, ...]
    active_units: int
    closed_form: bool
    relaxed: bool
    bound_reason: str | None = None
    bits_per_dim_reason: str | None = None
    units_offset: float = 0.0
    group_information: tuple[float, ...] | None = None

    @property
    def units(self) -> tuple[int, str]:
        """How many latents there are, or groups where the latents are categories, and what they are called."""
        return (self.latents, "latents") if self.group_information is None else (len(self.group_information), "groups")

    @property
    def log_likelihood_in_units(self) -> float | None:
        """The log-likelihood of the values as they are stored, which compares models that scored them on other scales."""
        return None if self.log_likelihood is None else self.log_likelihood - self.units_offset

    @property
    def counted(self) -> str:
        """How many examples were seen, in words."""
        return _number_of(self.examples, "example")

    @property
    def in_words(self) -> str:
        """The evaluation in two sentences."""
        count, unit = self.units
        used = f"{self.active_units} of {count} {unit} are in use."
        label = ", by a cross-entropy that is not a likelihood" if self.relaxed else ""
        if self.elbo is None:
            return f"Given its code, an example costs {self.distortion:.2f} nats{label}; {self.bound_reason}. {used}"
        bits = (
            "" if self.bits_per_dim is None else f" ({self.bits_per_dim:.3f} bits per dimension by importance sampling)"
        )
        if not self.relaxed and (self.bits_per_dim is None or self.elbo > 0):
            parts = f"{-self.distortion:.2f} given its code, less a rate of {self.rate:.2f}"
            return f"The log-density of an example is at least {self.elbo:.2f} nats{bits}: {parts}. {used}"
        parts = f"{self.rate:.2f} for its code and {self.distortion:.2f} for itself given the code"
        return f"An example costs at most {-self.elbo:.2f} nats{bits}: {parts}{label}. {used}"

    def as_dict(self) -> dict[str, object]:
        """Return everything as plain data: numbers, lists, strings and None."""
        return {
            **asdict(self),
            "standard_error": dict(self.standard_error),
            "rates": None if self.rates is None else list(self.rates),
            "code_variances": list(self.code_variances),
            "group_information": None if self.group_information is None else list(self.group_information),
            "log_likelihood_in_units": self.log_likelihood_in_units,
            "unit": "nats per example",
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Evaluation:
        """Return the evaluation of which `as_dict` made plain data, among other entries or not."""
        known = {field.name: plain[field.name] for field in fields(cls) if field.name in plain}
        tuples = {name: tuple(known[name]) for name in TUPLES if known.get(name) is not None}
        return cls(**{**known, **tuples})

    def to_json(self, **beside: object) -> str:
        """Write `as_dict`, and what is to stand beside it, as strict JSON."""
        return json.dumps({**self.as_dict(), **beside}, indent=2, allow_nan=False)

    def findings(self) -> Iterator[Finding]:
        """Yield the numbers as lines for a person, the most important first."""
        estimated = "" if self.closed_form else ", estimated at the samples"
        yield self._finding("ELBO", "elbo", self._bound_meaning())
        yield self._finding("distortion", "distortion", self._distortion_meaning())
        yield self._finding("rate", "rate", f"What the code costs: divergence of posterior from prior{estimated}.")
        yield self._finding("log-likelihood", "log_likelihood", self._likelihood_meaning())
        if self.units_offset and self.log_likelihood_in_units is not None:
            yield Finding(
                "in units of the data",
                with_error(self.log_likelihood_in_units, self.standard_error["log_likelihood"]),
                "nats",
                "The log-likelihood of the values as they are stored; those above are of scaled values.",
            )
        yield self._finding(
            "bits per dimension",
            "bits_per_dim",
            f"The code length of one of the {self.dimensions} elements, an upper bound in expectation.",
            unit="bits",
        )
        count, unit = self.units
        yield Finding("active units", f"{self.active_units} of {count}", unit, self._use_meaning())

    def _bound_meaning(self) -> str:
        if self.relaxed:
            return "Not a likelihood: grey values were scored by a cross-entropy that is not normalised."
        return "A lower bound on the log-likelihood of an example; higher is better."

    def _distortion_meaning(self) -> str:
        if self.relaxed:
            return "Not a likelihood, for the same reason: what the data costs once its code is known."
        return "What the data costs once its code is known: reconstruction."

    def _use_meaning(self) -> str:
        if self.group_information is not None:
            return "Groups that tell more than 0.01 nats of which example they are of; the others carry nothing."
        return "Latents whose posterior mean has a variance over the data above 0.01; the others carry nothing."

    def _likelihood_meaning(self) -> str:
        if self.relaxed:
            return f"Not a likelihood, for the same reason; {_number_of(self.samples, 'importance sample')}."
        drawn = _number_of(self.samples, "importance sample")
        return f"Estimated with {drawn}; too low in expectation, less so with more samples."

    def _finding(self, name: str, key: str, meaning: str, unit: str = "nats") -> Finding:
        value: float | None = getattr(self, key)
        if value is None:
            reason = self.bits_per_dim_reason if key == "bits_per_dim" else self.bound_reason
            return Finding(name, "none", unit, f"None: {reason}.")
        label = f"{name} (relaxed)" if self.relaxed and key in OF_THE_LIKELIHOOD else name
        return Finding(label, with_error(value, self.standard_error[key]), unit, meaning)

    def __rich__(self) -> Table:
        from rich.table import Table

        table = Table(title=self.counted, caption="± is one standard error over examples", box=None)
        table.add_column("per example", style="bold")
        table.add_column("value", justify="right", no_wrap=True)
        table.add_column("unit")
        table.add_column("meaning", style="dim")
        for finding in self.findings():
            table.add_row(*finding)
        return table


def _number_of(count: int, what: str) -> str:
    """Say how many there are.

    Example:
        >>> _number_of(1, "example"), _number_of(1200, "example")
        ('1 example', '1,200 examples')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def with_error(value: float, error: float | None) -> str:
    """Write a number with as many decimals as its standard error supports.

    Example:
        >>> with_error(-104.1234, 0.2345), with_error(0.18, None)
        ('-104.12 ± 0.23', '0.1800')
    """
    if not error:
        return f"{value:.4f}"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"
