import os

# Results must not depend on how many cores the machine has, and small tests are faster on few.
os.environ.setdefault("OMP_NUM_THREADS", "2")
