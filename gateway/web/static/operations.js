// What is under way and what is wrong. Numbers follow the feed of all events; what events do not tell is asked for while one looks.
import { Activity } from "./activity.js";
import { byId, el, given } from "./dom.js";
import { EventList } from "./event-list.js";
import { atMostEvery, every } from "./every.js";
import { readFailures } from "./failures.js";
import { follow } from "./feed.js";
import { count } from "./format.js";
import { InFlight } from "./in-flight.js";
import { setText } from "./keyed.js";
import { ParkedMessages } from "./parked.js";
import { Services } from "./services.js";
import { curveIn, Throughput } from "./throughput.js";

const told = given("given");
const ahead = told.now - Date.now(); // of the server's clock
const throughput = new Throughput(told.history_s);
const draw = curveIn(byId("curve"));
const activity = new Activity(told.active_rows);
const events = new EventList(told.events);
const models = new InFlight(told.models, told.model_rows);
const services = new Services();

/** `read`, with what went wrong told in the panel's own place. */
function reading(place, read) {
  return async () => {
    try {
      await read();
      setText(byId(place), "");
    } catch (error) {
      setText(byId(place), `Cannot be read: ${error.message}`);
    }
  };
}

const askActive = every(15_000, reading("active-stale", () => activity.read()));
const askFailures = every(60_000, reading("failures-stale", () => readFailures(told.recent)));
const askModels = every(2000, reading("models-stale", () => models.read()));
const askServices = every(5000, reading("services-stale", () => services.read()));
const all = [askActive, askFailures, askModels, askServices];
if (told.sees_parked) {
  const parked = new ParkedMessages();
  all.push(every(10_000, reading("parked-stale", () => parked.read())));
}
const askAll = atMostEvery(100, () => all.forEach((ask) => ask()));
const listChanged = atMostEvery(500, askActive);
const modelChanged = atMostEvery(250, askModels);
const ended = atMostEvery(1000, askFailures);

every(1000, () => {
  const now = Date.now() + ahead;
  const curve = throughput.curve(now);
  draw(curve);
  const rate = throughput.rate(now);
  setText(byId("rate"), rate < 100 ? rate.toFixed(1) : count(rate));
  setText(byId("peak"), `highest ${count(Math.max(...curve))}`);
});

const STATES = { live: "Live", lost: "Connection lost, trying again", gone: "Some events were missed" };

function show(state) {
  const place = byId("connection");
  place.dataset.state = state;
  place.replaceChildren(el("i", { "aria-hidden": "true" }), STATES[state]);
}

follow("/events/ws", {
  after: told.after,
  onState(state) {
    show(state);
    if (state !== "lost") askAll(); // what happened meanwhile
  },
  onEvent(event) {
    throughput.take(event);
    events.take(event);
    if (activity.take(event)) listChanged();
    if (event.type === "assay.model.status") modelChanged();
    if (/\.(completed|failed)$/.test(event.type)) ended();
  },
});
