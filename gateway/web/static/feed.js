// An event feed over a websocket that loses nothing: it comes back with the cursor of the last event it gave.

const FIRST_PAUSE_MS = 500;
const LAST_PAUSE_MS = 15_000;
const GONE = 4410; // the feed of all no longer has what follows the cursor
const TOO_SLOW = 1013;
const ENDED = 1000; // an evaluation's log is complete
const REFUSED = (code) => code >= 4400 && code < 4500 && code !== GONE; // trying again would be refused again

/**
 * Follow `/v1` + `path`, an events socket, until `stop` is called or `onEvent` returns false.
 *
 * `onEvent(event)` gets each CloudEvent once and in order; `onState(state)` gets "live", "lost" (it comes back by itself), "gone"
 * (events were missed: load again what is shown, the feed goes on from now), and as its last "ended" (nothing will follow) or "refused".
 */
export function follow(path, { after = null, onEvent, onState = () => {} }) {
  let cursor = after;
  let socket;
  let timer;
  let pause = FIRST_PAUSE_MS;
  let ended = false;

  function open() {
    clearTimeout(timer);
    const address = new URL(`/v1${path}`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    if (cursor !== null) address.searchParams.set("after", cursor);
    const mine = new WebSocket(address);
    socket = mine;
    mine.onopen = () => onState("live");
    mine.onmessage = ({ data }) => {
      if (ended || socket !== mine) return;
      pause = FIRST_PAUSE_MS;
      const event = JSON.parse(data);
      cursor = event.cursor;
      if (onEvent(event) === false) stop();
    };
    mine.onclose = ({ code }) => {
      if (ended || socket !== mine) return;
      if (code === ENDED || REFUSED(code)) {
        stop();
        onState(code === ENDED ? "ended" : "refused");
        return;
      }
      if (code === GONE) {
        cursor = null;
        onState("gone");
      } else onState("lost");
      timer = setTimeout(open, code === TOO_SLOW ? 0 : pause * (0.75 + Math.random() / 2));
      pause = Math.min(LAST_PAUSE_MS, pause * 2);
    };
  }

  // A laptop that wakes up, or a network that is back: not to wait for the next try.
  function again() {
    if (!ended && socket.readyState !== WebSocket.OPEN && socket.readyState !== WebSocket.CONNECTING) open();
  }

  function stop() {
    ended = true;
    clearTimeout(timer);
    socket.close();
    window.removeEventListener("online", again);
    document.removeEventListener("visibilitychange", again);
  }

  window.addEventListener("online", again);
  document.addEventListener("visibilitychange", again);
  open();
  return stop;
}
