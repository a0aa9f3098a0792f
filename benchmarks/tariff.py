"""Group `tariff`: how fast the example plant's hardest rule is evaluated, exactly."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.figure import Figure
from benchmarks.run import ROUNDS, Run
from config.plant import load_plant
from settlement.expression import arithmetic
from settlement.functions import FUNCTIONS

FACTORY = Path(__file__).parents[1] / "examples" / "factory.yaml"
RULE = "wear"
"""Two gauges, four constants, two calls: the longest of the example plant's rules."""

FLOATS = "the rule as plain Python: eval of its bytecode with floats"


def measure(run: Run) -> list[Figure]:
    """The compiled function alone, and `Tariff.price` around it as settling calls it."""
    tariff = load_plant(FACTORY).agreements[RULE].tariff
    expression = tariff.expression
    inputs = _inputs(run.sized(1_000))
    written = [{**tariff.constants, **_written(values)} for values in inputs]
    positional = [tuple(values[name] for name in expression.names) for values in written]
    floats = [{name: float(value) for name, value in values.items()} for values in written]
    bytecode = compile(expression.source, "<rule>", "eval")
    names: dict[str, Any] = {name: function.apply for name, function in FUNCTIONS.items()}

    def evaluate() -> None:
        function = expression.function
        with arithmetic():
            for numbers in positional:
                function(*numbers)

    def price() -> None:
        for values in inputs:
            tariff.price(values)

    def plain() -> None:
        for values in floats:
            eval(bytecode, names, values)

    rates = [[_per_second(each, len(inputs), run.seconds) for each in (evaluate, price, plain)] for _ in range(ROUNDS)]
    evaluations, prices, baseline = (statistics.median(column) for column in zip(*rates, strict=True))
    return [
        Figure("tariff.evaluations_per_s", evaluations, "1/s", baseline, FLOATS),
        Figure("tariff.prices_per_s", prices, "1/s", baseline, FLOATS),
    ]


def _inputs(count: int) -> list[dict[str, Decimal]]:
    """What the rule is given: rpm and °C around its bends, running seconds of a 100 ms step."""
    random = Random(1)
    return [
        {
            "rpm": Decimal(random.randrange(800, 3600)),
            "temperature": Decimal(random.randrange(200, 1200)).scaleb(-1),
            "running": Decimal(random.randrange(90_000, 110_000)).scaleb(-6),
        }
        for _ in range(count)
    ]


def _written(values: dict[str, Decimal]) -> dict[str, Decimal]:
    """The inputs as the rule writes them: running time in hours."""
    return {"rpm": values["rpm"], "temperature": values["temperature"], "running_h": values["running"] / 3600}


def _per_second(work: Callable[[], None], count: int, seconds: float) -> float:
    """How many of the `count` evaluations in `work` fit into a second."""
    done, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds or not done:
        work()
        done += count
    return done / elapsed
