// The plots of a very large evaluation are counted while one reads the scores: take them over when they are there.
import { exchange } from "./exchange.js";
import { enliven } from "./panel.js";

const PAUSE_MS = 2000;

enliven("[data-counting]", () => {
  const timer = setTimeout(() => exchange(["panel"]), PAUSE_MS);
  return () => clearTimeout(timer);
});
