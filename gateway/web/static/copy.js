// Copying text, also where a page is not served from this machine or over TLS and has no clipboard interface.

/** Copies a text; whether it worked. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "visually-hidden";
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

/** Copies with a button, which says for a moment whether it worked. */
export async function copyWith(button, text) {
  const label = button.textContent;
  const copied = await copyText(text);
  button.textContent = copied ? "Copied" : "Not copied";
  setTimeout(() => {
    if (button.isConnected) button.textContent = label;
  }, 1500);
}
