"""Speed, side by side with peers: the same network, batch, rows and optimiser, timed alternately in one process.

`python -m benchmarks` prints every table and writes `docs/performance.md`; `python -m benchmarks training` prints one.
A *case* says what is fitted (`cases`), a *peer* is a function `(case) -> seconds per epoch` (`peers`), a ratio is the median
of alternating runs (`measure`), and a *table* is a list of ratios beside their goals (`tables`).
"""
