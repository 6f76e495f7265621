"""Drills: the service under faults, attacks and the loss of machines, while callers are at work.

`make torture` runs torture.py, which takes the faults (faults.py), the attacks of strangers
(attacks.py), random bytes (raw_requests.py) and the model of the contract. `make test-scale` runs
scale.py, which loses machines (machines.py). Both print what they found, and exit with status 1 if a
promise was broken. Neither is a test of `make test`, but the tests run most drills for seconds.
"""
