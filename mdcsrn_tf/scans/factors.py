"""What --factor means."""

from __future__ import annotations

from mdcsrn_tf.errors import UserError


def parse_factors(factor: str, axes: str) -> tuple[int, ...]:
    """`"2,2"` as numbers, one for each of `axes`; a single one holds for all.

    >>> parse_factors("2", "LR,AP")
    (2, 2)
    """
    count = len(axes.split(","))
    try:
        factors = tuple(int(part) for part in factor.split(","))
    except ValueError:
        factors = ()
    factors = factors * count if len(factors) == 1 else factors
    if len(factors) != count or any(not 1 <= number <= 64 for number in factors):
        raise UserError(f"--factor={factor} must give each of --axes={axes} a whole number from 1 to 64, as in 2,2.")
    return factors
