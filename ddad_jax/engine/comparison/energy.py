"""Energy and CO2 of what runs between two moments: measured by codecarbon where it is installed, else estimated.

codecarbon (``pip install '.[energy]'``) reads NVML of NVIDIA's devices and RAPL of the processor, and where it
cannot it estimates, too. It tells of the whole machine, so nothing else may run beside what is measured.
"""

import functools
import importlib
import logging
from typing import Any, NamedTuple

from ddad_jax.engine.comparison.plan import Power

log = logging.getLogger(__name__)

JOULES = 3.6e6
"""Of a kilowatt hour."""


class EnergyUse(NamedTuple):
    """kwh: of everything in between. how: it was come by, for people."""

    kwh: float
    how: str


class EnergyMeter:
    """From its making to ``read``."""

    def __init__(self, power: Power) -> None:
        self._power, self._tracker = power, _tracker()

    def read(self, *, cpu_seconds: float, seconds: float, accelerator: bool) -> EnergyUse:
        """Ends it. cpu_seconds: of all threads of the process; seconds: on the clock; accelerator: whether it had
        one."""
        if self._tracker is None:
            return estimated(self._power, cpu_seconds, seconds, accelerator=accelerator)
        self._tracker.stop()
        kwh = float(self._tracker.final_emissions_data.energy_consumed)
        return EnergyUse(kwh, "codecarbon, the whole machine")


def estimated(power: Power, cpu_seconds: float, seconds: float, *, accelerator: bool) -> EnergyUse:
    """CPU seconds times the watts of a core, and with an accelerator seconds times its watts.

    >>> estimated(Power(core=10.0), 3600.0, 1800.0, accelerator=False)
    EnergyUse(kwh=0.01, how='estimate: 10 W a busy core')
    """
    kwh = cpu_seconds * power.core / JOULES + (seconds * power.accelerator / JOULES if accelerator else 0.0)
    beside = f", {power.accelerator:g} W an accelerator" if accelerator else ""
    return EnergyUse(kwh, f"estimate: {power.core:g} W a busy core{beside}")


def _tracker() -> Any:
    """codecarbon's, started; None without it."""
    codecarbon = _codecarbon()
    if codecarbon is None:
        return None
    # The country decides CO2 alone, which is told by ``Power.kg_per_kwh``: nothing is looked up on the network.
    tracker = codecarbon.OfflineEmissionsTracker(
        country_iso_code="BEL", measure_power_secs=5, save_to_file=False, log_level="error", allow_multiple_runs=True
    )
    tracker.start()
    return tracker


@functools.cache
def _codecarbon() -> Any:
    try:
        return importlib.import_module("codecarbon")
    except ImportError:
        log.info("energy is estimated, not measured: codecarbon is not installed (pip install '.[energy]')")
        return None
