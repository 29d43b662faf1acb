// The public REST API, as every other program uses it. The browser's session signs the calls.

/** A refusal: `status`, a sentence in `message`, and single fields in `errors` as `[{loc, msg}]`. */
export class Problem extends Error {
  constructor(status, detail, errors = []) {
    super(detail);
    this.status = status;
    this.errors = errors;
  }
}

/** The JSON answer of `/v1` + `path`. Raises `Problem` for a refusal, and where the gateway cannot be reached (status 0). */
export async function call(method, path, { body, form, signal, headers = {} } = {}) {
  const request = { method, signal, headers: { Accept: "application/json", ...headers } };
  if (form) request.body = form;
  else if (body !== undefined) {
    request.body = JSON.stringify(body);
    request.headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(`/v1${path}`, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The gateway cannot be reached.");
  }
  if (answer.status === 204) return null;
  const found = await answer.json().catch(() => null);
  if (answer.ok) return found;
  throw new Problem(answer.status, found?.detail ?? `The gateway answered ${answer.status}.`, found?.errors);
}

export const get = (path, options) => call("GET", path, options);
export const post = (path, body, options) => call("POST", path, { body, ...options });
export const patch = (path, body) => call("PATCH", path, { body });
export const remove = (path) => call("DELETE", path);

/** A key for `Idempotency-Key`, so that pressing twice, or a repeated request, creates once. */
export const once = () => ({ "Idempotency-Key": crypto.randomUUID() });
