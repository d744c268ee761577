"""Configuration: from flags, environment and TOML files to one frozen `Config`.

    kinds    what a value may be, and how it is read; `amounts` are sizes and times, `binding` is where to listen
    model    the tables and keys, with their defaults: this is where a new key is added
    entries  what an operator names, as many as there are: queues, users, periodic jobs, ...
    toml     conf.d/*.toml, read as one document that remembers which file said what
    tables   a document against the model: every key known, every value of its kind
    cron     the array of tables [[cron]] against the model
    load     flags, environment, places, password and TLS around it: `load_config`
    shown    a Config as a file would have it, secrets masked
    reload   what of a freshly loaded Config a running server takes over

Nothing here reads the environment by itself or keeps anything between calls: the same arguments and
files give the same Config, and a reload is a second call.
"""

from lineshaft.config.binding import Binding
from lineshaft.config.entries import Cron, CronJob, Queue
from lineshaft.config.kinds import Secret
from lineshaft.config.load import Flags, load_config
from lineshaft.config.model import Cluster, Config, Environment, LogFormat, LogLevel, Queues, Sync
from lineshaft.config.reload import take_over

__all__ = [
    "Binding",
    "Cluster",
    "Config",
    "Cron",
    "CronJob",
    "Environment",
    "Flags",
    "LogFormat",
    "LogLevel",
    "Queue",
    "Queues",
    "Secret",
    "Sync",
    "load_config",
    "take_over",
]
