"""Tasks by name: each suite as TF-Agents environments.

A suite is one file here, with `games()` and a gin-configurable `load(game)`
that returns a `Task`, and one line below.
"""

SUITES = {  # module, or object in it, by the first word of its tasks' names
    'catch': 'catch',
    'atari': 'atari',
    'dmc': 'dm_control',
    'crafter': 'crafter',
    'minigrid': 'minigrid',
    'gym': 'registered:GYM',
    'gymnasium': 'registered:GYMNASIUM',
}
