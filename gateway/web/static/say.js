// What somebody hears who does not see the page change.

/** Said when a screen reader has nothing else to say; the page has an element #said with role="status". */
export function say(text) {
  const place = document.getElementById("said");
  if (place) place.textContent = text.slice(0, 300);
}
