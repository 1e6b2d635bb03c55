// Renders the description of the API that this master gives. Nothing comes from elsewhere.

const main = document.getElementById('main');
const find = document.getElementById('find');

/** Makes an element of attributes and children; a child that is a string becomes text. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Writes text with `code` and links between spans of backticks and blank lines. */
function prose(text) {
  const parts = (text ?? '').split(/`([^`]*)`/);
  const nodes = parts.map((part, at) => (at % 2 ? make('code', {}, part) : part));
  return make('div', { class: 'text' }, nodes);
}

const nameOf = (reference) => reference.split('/').pop();

/** Says of what type a value is, with links to schemas that have a name. */
function typeOf(schema) {
  if (!schema) return ['anything'];
  if (schema.$ref) {
    const name = nameOf(schema.$ref);
    return [make('a', { href: `#schema-${name}` }, name)];
  }
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.flatMap((choice, at) => [at ? ' or ' : '', ...typeOf(choice)]);
  if (schema.enum) return [schema.enum.join(' | ')];
  const types = [schema.type ?? 'anything'].flat();
  return types.flatMap((type, at) => {
    const between = at ? ' or ' : '';
    if (type === 'array') return [between, 'list of ', ...typeOf(schema.items)];
    if (type === 'object' && schema.additionalProperties && !schema.properties) {
      return [between, 'map to ', ...typeOf(schema.additionalProperties)];
    }
    return [between, schema.format && type !== 'null' ? schema.format : type];
  });
}

function table(heads, rows) {
  if (!rows.length) return null;
  const head = make('tr', {}, heads.map((text) => make('th', { scope: 'col' }, text)));
  const body = rows.map((cells) => make('tr', {}, cells.map((cell) => make('td', {}, cell))));
  return make('table', {}, make('thead', {}, head), make('tbody', {}, body));
}

function fieldsOf(schema) {
  const required = schema.required ?? [];
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) => [
    make('code', {}, name),
    make('span', {}, ...typeOf(field), required.includes(name) ? '' : ' (optional)'),
    prose(field.description),
  ]);
  return table(['field', 'type', 'meaning'], rows);
}

function bodyOf(content) {
  return Object.entries(content ?? {}).map(([mediaType, { schema }]) =>
    make('div', {}, make('code', {}, mediaType), ': ', ...typeOf(schema), fieldsOf(schema)));
}

function resolved(description, value) {
  return value.$ref
    ? value.$ref.slice(2).split('/').reduce((at, key) => at[key], description)
    : value;
}

function operationOf(description, path, method, operation) {
  const parameters = (operation.parameters ?? []).map((it) => [
    make('span', {}, make('code', {}, it.name), ` (${it.in})`),
    make('span', {}, ...typeOf(it.schema), it.required ? ', required' : ''),
    prose(it.description),
  ]);
  const responses = Object.entries(operation.responses).map(([status, given]) => {
    const response = resolved(description, given);
    return [status, make('div', {}, prose(response.description), bodyOf(response.content))];
  });
  const words = [path, method, operation.operationId, operation.summary, operation.description];
  return make(
    'details',
    { id: operation.operationId, 'data-words': words.join(' ').toLowerCase() },
    make(
      'summary',
      {},
      make('span', { class: 'method' }, method.toUpperCase()),
      make('span', { class: 'path' }, path),
      make('span', { class: 'note' }, ` ${operation.summary}`),
    ),
    make(
      'div',
      {},
      prose(operation.description),
      make('p', { class: 'note' }, 'operation ', make('code', {}, operation.operationId)),
      table(['parameter', 'type', 'meaning'], parameters),
      operation.requestBody ? make('h3', {}, 'Body') : null,
      bodyOf(operation.requestBody?.content),
      make('h3', {}, 'Answers'),
      table(['status', 'meaning'], responses),
    ),
  );
}

function show(description) {
  const groups = new Map();
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const [tag] = operation.tags;
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operationOf(description, path, method, operation));
    }
  }
  const schemas = Object.entries(description.components.schemas).map(([name, schema]) =>
    make(
      'details',
      { id: `schema-${name}`, 'data-words': name.toLowerCase() },
      make('summary', {}, make('code', {}, name)),
      make('div', {}, prose(schema.description), fieldsOf(schema) ?? make('p', {}, ...typeOf(schema))),
    ));
  main.replaceChildren(
    prose(description.info.description),
    make('p', { class: 'note' }, `Release ${description.info.version}.`),
    ...[...groups].map(([tag, all]) => make('section', {}, make('h2', {}, tag), all)),
    make('section', {}, make('h2', {}, 'schemas'), schemas),
  );
}

function open() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}

find.addEventListener('input', () => {
  const wanted = find.value.trim().toLowerCase();
  for (const section of main.querySelectorAll('section')) {
    let shown = 0;
    for (const one of section.querySelectorAll(':scope > details')) {
      one.hidden = !one.dataset.words.includes(wanted);
      shown += one.hidden ? 0 : 1;
    }
    section.hidden = shown === 0;
  }
});
addEventListener('hashchange', open);

try {
  const answer = await fetch('/api/openapi.json');
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  show(await answer.json());
  open();
} catch (error) {
  main.replaceChildren(make('p', { role: 'alert' }, `The description cannot be loaded: ${error.message}`));
}
