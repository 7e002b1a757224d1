"""Do the ranks of threshold rules keep their rates? Many random calibrations on the scores of real normal pictures.

Splits of one pool are exchangeable by construction: whether a chosen point keeps its promise, ``chain.py`` asks.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import betabinom, binomtest

from ddad_jax.data.json_file import parsed
from ddad_jax.errors import InputError
from ddad_jax.metrics.thresholds import RULES, conformal_rank, image_threshold, pac_rank, quantile_rank

LEAST = 4
"""Scores that can be split at all."""
MOST_DRAWN = 10**8
"""Scores that all trials together may draw: they are held at once, 16 bytes each with both draws."""


def normal_scores(paths: Sequence[Path]) -> np.ndarray:
    """Scores of normal pictures of one model: the good rows of a scores.csv, ``normal_scores`` of a calibration.json,
    or the column ``score`` of a CSV without labels; float64 [n], the files one after another.

    Raises:
      InputError: a file is missing or holds no such scores, is named twice, or there are fewer than LEAST in all.
    """
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise InputError(f"--scores={path}: named twice, so its scores would count twice; name each file once")
        seen.add(path.resolve())
    scores = np.concatenate([_read(path) for path in paths]) if paths else np.zeros(0)
    if scores.size < LEAST or not np.isfinite(scores).all():
        named = ", ".join(map(str, paths)) or "no file"
        raise InputError(f"--scores={named}: {scores.size} scores; expected {LEAST} or more, all of them finite")
    return scores


def trials(
    scores: np.ndarray, *, splits: int, seed: int, n: int, level: float, delta: float, p: float, k: float
) -> list[dict[str, Any]]:
    """A row for each rule over ``splits`` random calibrations.

    Two draws a trial. A split takes n scores to calibrate and the rest as new pictures: exchangeable, which is all
    that the marginal bound asks for. A draw takes n of all scores with replacement: independent pictures of a
    population whose distribution is known, so that the true false-alarm rate of each threshold is, too.

    mean_rate: of the splits, over the new pictures. expected: what the rule's rank gives for scores without ties.
    low, high: where the mean of so many splits lies with a probability of 99.9 % if ``expected`` is right. at_most:
    ``level`` where the rule was asked for it. keeps: mean_rate <= at_most + (high - expected), for conformal_pac
    unlucky <= delta within its binomial 99.9 % bound instead; None where nothing was asked for. unlucky: share of the
    draws whose true rate exceeds ``level``. unlucky_splits: share of the splits whose rate exceeds it, which a small
    number of new pictures raises.

    Args:
      scores: of normal pictures, [m]; n: of them calibrate, 1 <= n < m. level, delta, p, k: of ``image_threshold``.

    Raises:
      InputError: no such n; more than MOST_DRAWN scores in all.
    """
    if splits * scores.size > MOST_DRAWN:
        most = MOST_DRAWN // scores.size
        raise InputError(f"--splits={splits}: expected at most {most} trials of {scores.size} scores")
    if not 1 <= n < scores.size:
        raise InputError(f"--calibration={n}: expected 1 to {scores.size - 1}, as there are {scores.size} scores")
    rng = np.random.default_rng(seed)
    ordered = np.sort(scores)
    shuffled = [rng.permutation(scores) for _ in range(splits)]
    drawn = [rng.choice(scores, n) for _ in range(splits)]
    how: dict[str, Any] = {"level": level, "delta": delta, "p": p, "k": k}
    rows = []
    for rule in RULES:
        found = [image_threshold(order[:n], rule, **how) for order in shuffled]
        rates = np.array([(order[n:] > one.value).mean() for order, one in zip(shuffled, found, strict=True)])
        true = [_share_above(ordered, image_threshold(sample, rule, **how).value) for sample in drawn]
        unlucky = float((np.array(true) > level).mean())
        rank = _rank(rule, n, level, delta, p)
        # How many of the new ones lie above the rank-th of n: a beta-binomial count.
        above = betabinom(scores.size - n, n + 1 - rank, rank) if rank else None
        expected = above.mean() / (scores.size - n) if above else float("nan")
        spread = 3.29 * (above.std() / (scores.size - n) if above else rates.std(ddof=1)) / np.sqrt(splits)
        keeps = None
        if rule == "conformal" and not found[0].warning:
            keeps = bool(rates.mean() <= level + spread)
        if rule == "conformal_pac" and not found[0].warning:
            times = round(unlucky * splits)
            keeps = bool(binomtest(times, splits, delta, alternative="greater").pvalue > 0.001)
        rows.append(
            {
                "rule": rule, "n": n, "new": scores.size - n, "splits": splits,
                "threshold": float(np.mean([one.value for one in found])), "mean_rate": float(rates.mean()),
                "expected": expected, "low": expected - spread, "high": expected + spread,
                "at_most": level if rule.startswith("conformal") else None, "unlucky": unlucky,
                "unlucky_splits": float((rates > level).mean()), "keeps": keeps, "warning": found[0].warning,
            }
        )  # fmt: skip
    return rows


def _rank(rule: str, n: int, level: float, delta: float, p: float) -> int | None:
    """Of the order statistic that a rule takes; None where it takes none."""
    if rule == "max":
        return n
    if rule == "quantile":
        return quantile_rank(n, p)
    if rule == "conformal":
        return conformal_rank(n, level) or n
    return (pac_rank(n, level, delta) or n) if rule == "conformal_pac" else None


def _share_above(ordered: np.ndarray, threshold: float) -> float:
    return float(1 - np.searchsorted(ordered, threshold, side="right") / ordered.size)


def _read(path: Path) -> np.ndarray:
    expected = "expected a scores.csv or a calibration.json of a run, or a CSV with a column 'score'"
    try:
        if path.suffix == ".json":
            return np.array(parsed(path.read_bytes(), constants=True)["normal_scores"], float)
        text = path.read_text("utf-8-sig")
        rows = list(csv.DictReader(text.splitlines()))
        return np.array([float(row["score"]) for row in rows if row.get("label", "0") == "0"], float)
    except OSError as error:
        raise InputError(f"--scores={path}: cannot be read ({error.strerror}); {expected}") from None
    except (ValueError, KeyError, TypeError, RecursionError, csv.Error) as error:
        raise InputError(f"--scores={path}: {error!r}; {expected}") from None
