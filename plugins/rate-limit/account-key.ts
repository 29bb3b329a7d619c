// One text for a counter and one of its clients, as stores have it. It prevents a client that chooses its key from writing
// another counter's name into it, and so using up what is somebody else's.

/** `counter` is '' for the one that routes without a limit of their own share. */
export function accountKey (counter: string, client: string): string {
  const key = escape(String(client))
  return counter === '' ? key : `${escape(counter)}|${key}`
}

/** A bar stands between the two; of braces a Redis cluster would take a part of the key for its slot. */
function escape (text: string): string {
  return /[{}%|]/.test(text) ? text.replace(/[{}%|]/g, character => `%${character.charCodeAt(0).toString(16)}`) : text
}
