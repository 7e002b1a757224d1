"""L8. Launches: one experiments command rendered for a machine, a cluster or a pod, shown, and run when asked to.

Programs of this package end at Ctrl-C and SIGTERM with a line, also while they still import.
"""

import sys

from ddad_jax.engine import stopping

if sys.argv[:1] == ["-m"]:  # so Python calls what it has not found yet: a program, no notebook and no test
    stopping.while_importing()
