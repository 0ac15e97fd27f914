// JSON as the text that it is: cuts an object or an array into the raw texts of its parts, so that two
// answers can be compared byte for byte, unknown fields and key order included. The text must be valid JSON.

/** The members of an object's text, in order: [key, raw text of the value]. */
export function members(text) {
  return parts(text, '{').map((part) => {
    const end = stringEnd(part, 0);
    return [JSON.parse(part.slice(0, end)), part.slice(part.indexOf(':', end) + 1).trim()];
  });
}

/** The raw texts of an array's elements, in order. */
export function elements(text) {
  return parts(text, '[');
}

/** The raw text of one member's value, or undefined. */
export function member(text, key) {
  return members(text).find(([name]) => name === key)?.[1];
}

function parts(text, open) {
  const body = text.trim();
  if (body[0] !== open) throw new Error(`expected ${open} at the start of ${body.slice(0, 80)}`);
  JSON.parse(body);
  const found = [];
  let depth = 0;
  let start = 1;
  for (let at = 0; at < body.length; at += 1) {
    const char = body[at];
    if (char === '"') at = stringEnd(body, at) - 1;
    else if (char === '{' || char === '[') depth += 1;
    else if (char === '}' || char === ']') depth -= 1;
    if ((depth === 1 && char === ',') || depth === 0) {
      const part = body.slice(start, at).trim();
      if (part) found.push(part);
      start = at + 1;
    }
  }
  return found;
}

function stringEnd(text, start) {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}
