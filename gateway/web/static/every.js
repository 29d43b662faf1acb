// When things are asked for again.

/** Call `act` every `ms` while the page is looked at, never twice at once; returns a function that does so at once. */
export function every(ms, act) {
  let busy = false;
  let again = false;
  let timer = setTimeout(tick, ms);

  async function run() {
    clearTimeout(timer);
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      await act();
    } finally {
      busy = false;
    }
    if (again) {
      again = false;
      run();
    } else timer = setTimeout(tick, ms);
  }

  function tick() {
    if (document.visibilityState === "visible") run();
  }

  document.addEventListener("visibilitychange", tick);
  return run;
}

/** A function that calls `act` at most once in `ms`, the last time after it was last called. */
export function atMostEvery(ms, act) {
  let timer;
  return () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      act();
    }, ms);
  };
}
