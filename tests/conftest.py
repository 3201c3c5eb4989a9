"""What every test starts from: one thread a process, for pytest runs as many processes as there are cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, and for programs that tests start
