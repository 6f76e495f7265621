"""The tests. What the caller has in the environment changes nothing for them, TEST_… apart.

This runs before any other module of theirs: some read the environment when they are imported.
"""

import os

# What programs need to be found and to run, and what pytest tells its own processes.
_KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "LC_", "LD_LIBRARY_PATH", "PYTHON", "PYTEST_", "TEST_")

# How the caller's machine reaches a registry of packages, for the tests that need one.
CALLERS_NETWORK = {
    name: value
    for name, value in os.environ.items()
    if name.lower().endswith("_proxy") or name.lower().startswith(("node_", "npm_config_", "ssl_cert_"))
}

for _name in list(os.environ):
    if not _name.startswith(_KEPT):
        del os.environ[_name]
# In place of `backend/.env`, which is the caller's too.
os.environ["ENV_FILE"] = os.devnull
