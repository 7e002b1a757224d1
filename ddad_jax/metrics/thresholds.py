"""L1. Thresholds from normal pictures alone: how high may a score be before a picture counts as anomalous?

Every function sees scores or maps of held-out normal pictures and no label: there is no argument to pass one by. A
score above the threshold is anomalous, one that equals it is not.

Let S_(1) <= ... <= S_(n) be the calibration scores. For a new normal picture that is exchangeable with them

    P(S > S_(k)) <= 1 - k / (n + 1)                                                                   (marginal)

whatever the distribution; ties make it smaller. And with the calibration pictures drawn independently, the share
R_k of all normal pictures above S_(k) is at most a Beta(n + 1 - k, k) variable, so that

    P(R_k > alpha) <= P(Bin(n, alpha) <= n - k)                            (over the draw of the calibration pictures)

``conformal`` takes the smallest k whose marginal bound is at most alpha, ``conformal_pac`` the smallest k for which the
second probability is at most delta. The bounds are those of the scores as given: constants of the score (its ratio, its
spread) that rest on the same calibration pictures make a picture and its calibration a little less alike, a score that
was chosen on them breaks the bounds (``tuning_size``).

Frames of one recording are neither exchangeable with those of another nor independent of each other. Where it is known
which recording each picture comes from, the recordings are what is exchangeable: with F_g the share of recording g's
scores up to s, of G recordings, a picture of a new one has

    P(S > s) <= 1 - (F_1(s) + ... + F_G(s)) / (G + 1)                                          (over new recordings)

which is the first bound where every recording has one picture; and of the recordings' largest scores the second bound
holds, as a picture is above s only where its recording's largest score is.

Source: Lee, Barber and Willett, "Distribution-free inference with hierarchical data" (2023), for recordings.
"""

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import scipy

from ddad_jax.errors import InputError
from ddad_jax.metrics.curve import checked_scores

RULES = ("max", "quantile", "sigma", "conformal", "conformal_pac")
PIXEL_RULES = ("max", "quantile", "sigma")


class Threshold(NamedTuple):
    """A score above ``value`` is anomalous."""

    rule: str
    """One of RULES."""
    level: float | None
    """The share of normal pictures (or pixels) above the threshold that was asked for; None: the rule asks for none."""
    value: float
    n: int
    """Calibration pictures it rests on."""
    guarantee: str
    """What holds, in words."""
    warning: str = ""
    """Why it does not hold what was asked of it, and how many pictures or recordings would; empty where it does."""
    recordings: int = 0
    """That these pictures come from; 0: not known, every picture counts as one."""

    @property
    def independent(self) -> int:
        """How many of what it rests on are independent: recordings, or pictures where these are not known."""
        return self.recordings or self.n


def image_threshold(
    scores: Any,
    rule: str,
    *,
    level: float = 0.05,
    delta: float = 0.05,
    p: float = 0.99,
    k: float = 3.0,
    recordings: Sequence[str] = (),
) -> Threshold:
    """The threshold on image scores by one of RULES.

    max            S_(n)
    quantile       S_(ceil(p n)), the smallest score that a share p of the calibration scores does not exceed
    sigma          mean + k s, with s^2 the sum of squares over n - 1
    conformal      S_(ceil((n + 1) (1 - level)))
    conformal_pac  S_(j), j = n - max{l : P(Bin(n, level) <= l) <= delta}

    With recordings: conformal the smallest score whose bound over new recordings is at most level, conformal_pac
    S_(j) of the recordings' largest scores.

    Where n, or the number of recordings, is below ``minimum_images`` no order statistic holds what a conformal rule is
    asked for and only an infinite threshold would, which lets every defect through. The largest score is taken instead,
    with a warning that says what it does hold: on a line a false alarm costs a look, a missed defect more.

    Args:
        scores: finite, of normal pictures that the model was not trained on, [n]; n >= 1.
        rule: one of RULES.
        level: alpha in (0, 1), the share of normal pictures that may raise a false alarm.
        delta: in (0, 1), how probable an unlucky draw of calibration pictures may be (conformal_pac).
        p: in (0, 1) (quantile). k: finite, >= 0 (sigma).
        recordings: the one each picture comes from, [n]; empty: not known, or the pictures are independent.

    Raises InputError for no scores, NaN or infinite ones, an unknown rule, a setting out of range, or recordings of
    other pictures.

    Source: Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World" (2005), split conformal prediction;
    Wilks, "Determination of sample sizes for setting tolerance limits" (1941) and Vovk, "Conditional validity of
    inductive conformal predictors" (2012), Proposition 2, for conformal_pac; Bergmann et al., "The MVTec Anomaly
    Detection Dataset" (2021), for max, quantile and sigma.

    >>> found = image_threshold(range(1, 101), "conformal", level=0.05)
    >>> found.value, found.guarantee
    (96.0, 'at most 4.95 % of new normal pictures like these exceed it, on average over draws')
    """
    scores = checked_scores(scores).astype(np.float64)
    if scores.ndim != 1 or not scores.size:
        raise InputError(
            f"scores of shape {scores.shape}: a threshold needs those of one held-out normal picture or more; "
            "raise --config.data.held_out"
        )
    _check(rule, RULES, level=level, delta=delta, p=p, k=k)
    if len(recordings) not in (0, scores.size):
        raise InputError(f"recordings of {len(recordings)} pictures: expected {scores.size}, one a score, or none")
    calibration = _Calibration.of(scores, recordings)
    n, ordered, most = scores.size, calibration.scores, float(calibration.scores[-1])
    known: dict[str, Any] = {"recordings": len(calibration.largest) if recordings else 0}
    if rule == "sigma":
        return _sigma(scores, k, level)._replace(**known)
    few = len(calibration.largest) < minimum_images("conformal", level)
    if rule == "max":
        said = f"the largest of {calibration.of_what}: {calibration.one_in}" if few else ""
        return Threshold(rule, None, most, n, calibration.marginal(most), said, **known)
    if rule == "quantile":
        j, asked = quantile_rank(n, p), float(1 - Fraction(repr(float(p))))
        needed, value = minimum_images(rule, p=p), float(ordered[j - 1])
        said = f"the {p:g} quantile of {n} scores is their maximum; it takes {needed} to be another" if j == n else ""
        return Threshold(rule, asked, value, n, calibration.marginal(value), said, **known)
    held = calibration.conformal(level) if rule == "conformal" else calibration.pac(level, delta)
    value, warning = most if held is None else held, ""
    if held is None:
        sure = "" if rule == "conformal" else f" with confidence {1 - delta:g}"
        warning = (
            f"{calibration.of_what_there_is} cannot hold a false-alarm rate of {level:g}{sure}: at least "
            f"{minimum_images(rule, level, delta)} are needed. The largest of their scores is used instead"
        )
    holds = calibration.marginal(value) if rule == "conformal" else calibration.certain(value, delta)
    return Threshold(rule, level, value, n, holds, warning, **known)


class _Calibration(NamedTuple):
    """scores: rising, [n]. covered: F_1 + ... + F_G at each, fractions [n]. largest: of each recording, rising, [G];
    pictures whose recording is not known are one each. known: whether it is."""

    scores: np.ndarray
    covered: list[Fraction]
    largest: np.ndarray
    known: bool

    @classmethod
    def of(cls, scores: np.ndarray, recordings: Sequence[str]) -> "_Calibration":
        order = np.argsort(scores, kind="stable")
        if not recordings:
            return cls(scores[order], [Fraction(i) for i in range(1, len(order) + 1)], scores[order], False)
        sizes = Counter(recordings)
        covered = list(itertools.accumulate(Fraction(1, sizes[recordings[i]]) for i in order))
        highest = dict.fromkeys(sizes, -math.inf)
        for name, score in zip(recordings, scores, strict=True):
            highest[name] = max(highest[name], float(score))
        return cls(scores[order], covered, np.sort([*highest.values()]), True)

    @property
    def of_what(self) -> str:
        n, g = len(self.scores), len(self.largest)
        return f"{n} normal scores of {g} recording{'s' if g > 1 else ''}" if self.known else f"{n} normal scores"

    @property
    def of_what_there_is(self) -> str:
        n, g = len(self.scores), len(self.largest)
        of = f"{g} calibration recording{'s' if g > 1 else ''} ({n} pictures)"
        return of if self.known else f"{n} calibration pictures"

    @property
    def one_in(self) -> str:
        one = f"about 1 in {len(self.largest) + 1} new normal pictures"
        return f"{one} of a new recording exceeds it" if self.known else f"{one} exceeds it"

    def _bound(self, value: float) -> float:
        below = int(np.searchsorted(self.scores, value, side="right"))
        return float(1 - self.covered[below - 1] / (len(self.largest) + 1)) if below else 1.0

    def conformal(self, level: float) -> float | None:
        """The smallest score with a marginal bound of at most ``level``; None where there is none."""
        needed = (1 - Fraction(repr(float(level)))) * (len(self.largest) + 1)
        return next((float(s) for s, c in zip(self.scores, self.covered, strict=True) if c >= needed), None)

    def pac(self, level: float, delta: float) -> float | None:
        place = pac_rank(len(self.largest), level, delta)
        return None if place is None else float(self.largest[place - 1])

    def marginal(self, value: float) -> str:
        """What ``value`` holds on average over draws."""
        bound = f"at most {100 * self._bound(value):.3g} %"
        if self.known:
            return f"{bound} of the normal pictures of a new recording exceed it, on average over recordings"
        return f"{bound} of new normal pictures like these exceed it, on average over draws"

    def certain(self, value: float, delta: float) -> str:
        """What it holds in all but ``delta`` of draws."""
        n = len(self.largest)
        place = int(np.searchsorted(self.largest, value, side="right"))
        bound = 100 * false_alarm_bounds(place, n, delta)[1]
        whose = "of the normal pictures of new recordings" if self.known else "of new normal pictures like these"
        return f"at most {bound:.3g} % {whose} exceed it, with confidence {1 - delta:g}"


def pixel_threshold(
    maps: Any, rule: str, *, watched: np.ndarray | None = None, p: float = 0.995, k: float = 3.0
) -> Threshold:
    """The threshold on the pixels of anomaly maps by one of PIXEL_RULES, over all pixels of all maps at once.

    There is no conformal rule: neighbouring pixels depend on each other, so n pictures are n draws, not n h w. What
    bounds false alarms by pixel and picture is the image threshold, as a picture's score is its largest pixel.

    Args:
        maps: finite, of normal pictures that the model was not trained on, [n, h, w]; n >= 1.
        rule: one of PIXEL_RULES.
        watched: bool [h, w], which pixels a view's mask leaves in: the silent ones would lower every rule but max.
            None: all of them.
        p: in (0, 1) (quantile). k: finite, >= 0 (sigma).

    Raises InputError as ``image_threshold``, and for a mask of another size or without a watched pixel.

    Source: Bergmann et al. (2021), section on thresholds.

    >>> pixel_threshold(np.arange(200.0).reshape(2, 10, 10), "quantile", p=0.9).value
    179.0
    """
    maps = checked_scores(maps, "maps")
    if maps.ndim != 3 or not maps.size:
        raise InputError(f"maps of shape {maps.shape}: expected [n, h, w] of one held-out normal picture or more")
    _check(rule, PIXEL_RULES, p=p, k=k)
    if watched is not None and (np.shape(watched) != maps.shape[1:] or not np.any(watched)):
        raise InputError(f"watched: expected bool {maps.shape[1:]} with a pixel that is, got shape {np.shape(watched)}")
    n, pixels = len(maps), maps.reshape(-1) if watched is None else maps[:, watched].reshape(-1)
    if rule == "max":
        return Threshold(rule, None, float(pixels.max()), n, f"no pixel of {n} normal maps exceeds it")
    if rule == "sigma":
        # Not of float32 sums: millions of small numbers.
        value = float(pixels.mean(dtype=np.float64) + k * pixels.std(dtype=np.float64, ddof=int(pixels.size > 1)))
        above = float((pixels > value).mean())
        return Threshold(rule, None, value, n, f"{above:.3g} of the pixels of {n} normal maps exceed it")
    exact = Fraction(repr(float(p)))
    place = math.ceil(exact * pixels.size) - 1
    value = float(np.partition(pixels, place)[place])
    said = f"at most {float(1 - exact):g} of the pixels of {n} normal maps exceed it"
    return Threshold(rule, float(1 - exact), value, n, said)


def minimum_images(rule: str, level: float = 0.05, delta: float = 0.05, p: float = 0.99) -> int:
    """Calibration pictures with which a rule first holds what it is asked for.

    conformal      n >= (1 - level) / level, or the rank would lie beyond the largest score
    conformal_pac  (1 - level)^n <= delta, as the largest of n scores is the highest threshold there is
    quantile       n >= 1 / (1 - p), or the quantile is the maximum
    max, sigma     1 and 2: they promise nothing

    Raises InputError for an unknown rule or a share outside (0, 1).

    >>> minimum_images("conformal", 0.05), minimum_images("conformal_pac", 0.05, 0.05)
    (19, 59)
    """
    _check(rule, RULES, level=level, delta=delta, p=p)
    exact = Fraction(repr(float(level)))
    if rule == "conformal":
        return math.ceil((1 - exact) / exact)
    if rule == "quantile":
        # ceil(p n) < n from (1 - p) n >= 1 on.
        return math.ceil(1 / (1 - Fraction(repr(float(p)))))
    if rule == "conformal_pac":
        n = max(1, math.floor(math.log(delta) / math.log1p(-level)) - 1)  # the loop mends what rounding does
        while pac_rank(n, level, delta) is None:
            n += 1
        return n
    return 2 if rule == "sigma" else 1


def tuning_size(n: int, share: float) -> int:
    """How many of n held-out pictures choose where the others are to give a threshold: max(2, round(share n)), at most
    n - 2; 0 where n is below 4, which cannot be parted.

    S_(k) keeps its bound only if the score was chosen without the pictures that are ranked: the largest of several
    AUROCs prefers the score whose calibration pictures happen to lie low.

    Source: Yang and Kuchibhotla, "Selection and aggregation of conformal prediction sets" (2025), the algorithm that
    selects and calibrates on disjoint parts.

    >>> [tuning_size(n, 0.4) for n in (3, 4, 32)]
    [0, 2, 13]
    """
    return 0 if n < 4 else min(max(round(share * n), 2), n - 2)


def quantile_rank(n: int, p: float) -> int:
    """k = ceil(p n) of n scores, computed with the decimal number that was given."""
    return math.ceil(n * Fraction(repr(float(p))))


def conformal_rank(n: int, level: float) -> int | None:
    """k = ceil((n + 1) (1 - level)) of n scores, computed with the decimal number that was given; None where k > n."""
    k = math.ceil((n + 1) * (1 - Fraction(repr(float(level)))))
    return k if k <= n else None


def pac_rank(n: int, level: float, delta: float) -> int | None:
    """The smallest k of n scores with P(Bin(n, level) <= n - k) <= delta; None where there is none.

    More than ``level`` of all normal pictures lie above S_(k) only if at least k of the n draws came from the lower
    1 - level of the distribution, at most n - k from the upper level; Bin(n, level) counts the latter.
    """
    over = np.arange(n)
    allowed = np.flatnonzero(scipy.stats.binom.cdf(over, n, level) <= delta)
    return n - int(allowed[-1]) if allowed.size else None


def false_alarm_bounds(k: int, n: int, delta: float = 0.05) -> tuple[float, float]:
    """Of S_(k) of n: the share of new normal pictures above it, at most, on average and in all but ``delta`` of draws.

    (1 - k / (n + 1), the 1 - delta quantile of Beta(n + 1 - k, k))

    >>> [round(bound, 4) for bound in false_alarm_bounds(99, 99)]
    [0.01, 0.0298]
    """
    return 1 - k / (n + 1), float(scipy.stats.beta.ppf(1 - delta, n + 1 - k, k))


def _sigma(scores: np.ndarray, k: float, level: float) -> Threshold:
    n = scores.size
    if n < 2:
        said = "one score has no spread: it is the threshold itself; 2 calibration pictures are the least"
        return Threshold("sigma", None, float(scores[0]), n, "none", said)
    value = float(scores.mean() + k * scores.std(ddof=1))
    above = int((scores > value).sum())
    holds = f"none without knowing the distribution; {above} of {n} normal scores exceed it"
    few = minimum_images("conformal", level)
    return Threshold("sigma", None, value, n, holds, f"mean and spread rest on {n} scores" if n < few else "")


def _check(rule: str, rules: tuple[str, ...], **settings: float) -> None:
    if rule not in rules:
        raise InputError(f"rule {rule!r}: expected one of {', '.join(rules)}")
    for name, value in settings.items():
        good = math.isfinite(value) and value >= 0 if name == "k" else 0 < value < 1
        if not good:
            raise InputError(f"{name} = {value}: expected {'0 or more' if name == 'k' else 'a share between 0 and 1'}")
