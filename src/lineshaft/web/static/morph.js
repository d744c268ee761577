// Brings a part of the page into the shape of another, touching only what differs: focus, selection, what is ticked and
// where the eye rests all stay. Rows are told apart by data-key.

/** Make `from` look like `to`. */
export function morph(from, to) {
  if (from.isEqualNode(to)) return;
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) {
    from.replaceWith(to.cloneNode(true));
  } else if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
  } else {
    attributes(from, to);
    children(from, to);
  }
}

function attributes(from, to) {
  for (const { name } of [...from.attributes]) {
    // What somebody has opened or hidden here is no business of the server's.
    if (!to.hasAttribute(name) && name !== "open" && name !== "hidden") from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (name !== "hidden" && from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
}

function children(from, to) {
  const keyed = new Map();
  for (const child of from.children) {
    if (child.dataset.key) keyed.set(child.dataset.key, child);
  }
  let here = from.firstChild;
  for (const wanted of to.childNodes) {
    const key = wanted.nodeType === Node.ELEMENT_NODE ? wanted.dataset.key : undefined;
    const known = key ? keyed.get(key) : undefined;
    if (known) {
      keyed.delete(key);
      if (known === here) here = here.nextSibling;
      else from.insertBefore(known, here);
      morph(known, wanted);
    } else if (key || !here || (here.nodeType === Node.ELEMENT_NODE && here.dataset.key)) {
      from.insertBefore(wanted.cloneNode(true), here);
    } else {
      const next = here.nextSibling;
      morph(here, wanted);
      here = next;
    }
  }
  while (here) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
}
