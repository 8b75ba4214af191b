"""How an engine tells that a segment met no end: by one chunk of its own kind, without a sample."""

import numpy as np

ENDLESS = np.zeros(0, np.float32)
"""Given as the last chunk of a segment that was cut at the engine's limit; known by its identity."""
