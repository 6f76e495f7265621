/** Waiting: for a while, for the network, and for work that is under way. */

const sleepers = new Set();

/** Wait, but no longer than until `signal` is aborted, or until `wakeAll`: the network, or the service, has come back. */
export function sleep(milliseconds, signal) {
  return new Promise((resolve) => {
    const wake = () => (clearTimeout(timer), sleepers.delete(wake), resolve());
    const timer = setTimeout(wake, milliseconds);
    sleepers.add(wake);
    signal?.addEventListener("abort", wake, { once: true });
  });
}

export function wakeAll() {
  for (const wake of sleepers) wake();
}
addEventListener("online", wakeAll);

/** Return a function that runs `work`. Calls during a run together cause one more run after it. */
export function bundled(work) {
  let running = null;
  let again = false;
  return async function run() {
    again = running !== null;
    if (running) return running;
    running = work();
    try {
      await running;
    } finally {
      running = null;
      if (again) run();
    }
  };
}
