"""The tests. What the caller has in the environment changes nothing for them, TEST_… apart.

This runs before any other module of theirs: some read the environment when they are imported. It
runs in each process of the tests, of which the first starts the others.
"""

import json
import os

# What programs need to be found and to run, and what pytest tells its own processes.
_KEPT = {"PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE"}
_KEPT_PREFIXES = ("LC_", "PYTEST_", "TEST_")
# How the caller's machine reaches a registry of packages, for the tests that need one.
_NETWORK_PREFIXES = ("node_", "npm_config_", "ssl_cert_")


def _is_of_network(name: str) -> bool:
    return name.lower().endswith("_proxy") or name.lower().startswith(_NETWORK_PREFIXES)


_network = {name: value for name, value in os.environ.items() if _is_of_network(name)}
CALLERS_NETWORK: dict[str, str] = json.loads(os.environ.setdefault("TEST_CALLERS_NETWORK", json.dumps(_network)))

for _name in list(os.environ):
    if _name not in _KEPT and not _name.startswith(_KEPT_PREFIXES):
        del os.environ[_name]
# In place of `backend/.env`, which is the caller's too.
os.environ["ENV_FILE"] = os.devnull
