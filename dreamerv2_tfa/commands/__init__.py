"""What `bin/` runs: flags, gin, one call.

Importing it comes before the libraries, which say too much: TensorFlow's own
log and Gym's notice, which TF-Agents sets off, are silenced here.
"""

import os
import warnings

from absl import logging
from gym_notices import notices

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
logging.set_verbosity(logging.ERROR)  # --verbosity=0 shows the rest
notices.notices.clear()
warnings.filterwarnings('ignore', module='tensorflow')
