"""The parts of bench_nmf.py.

Importing this package first fixes the number of threads: the libraries read
these variables once, when they are loaded.
"""

import os

for _name in ("OMP", "MKL", "OPENBLAS", "BLIS", "NUMEXPR", "VECLIB_MAXIMUM"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"
