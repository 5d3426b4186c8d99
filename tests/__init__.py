"""Tests. One thread each, set before a library reads it: the threads of two workers would wait."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
