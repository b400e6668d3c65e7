"""What `bin/` runs: flags, gin, one call.

Importing it comes before the libraries, which say too much.
"""

from dreamerv2_tfa import quiet

quiet.process()
