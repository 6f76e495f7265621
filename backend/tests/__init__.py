"""The tests. They ignore the environment of whoever runs them, except for TEST_….

This module clears the environment before any other module of the tests is imported, because some of
them read it on import. It does so in each worker process too.
"""

import json
import os

# Programs need these to be found and to run; pytest passes some to its workers.
_KEPT = {"PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE"}
_KEPT_PREFIXES = ("LC_", "PYTEST_", "TEST_")
# How this machine reaches a package registry, for the tests that need one.
_NETWORK_PREFIXES = ("node_", "npm_config_", "ssl_cert_")


def _concerns_network(name: str) -> bool:
    return name.lower().endswith("_proxy") or name.lower().startswith(_NETWORK_PREFIXES)


_network = {name: value for name, value in os.environ.items() if _concerns_network(name)}
CALLERS_NETWORK: dict[str, str] = json.loads(os.environ.setdefault("TEST_CALLERS_NETWORK", json.dumps(_network)))

for _name in list(os.environ):
    if _name not in _KEPT and not _name.startswith(_KEPT_PREFIXES):
        del os.environ[_name]
# Not `backend/.env`, which belongs to whoever runs the tests.
os.environ["ENV_FILE"] = os.devnull
