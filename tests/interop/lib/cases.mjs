// What the differential asks of each server: a call of every tool that it lists, and the other requests.
// `mask` replaces what two runs of the same server cannot agree on; each mask says why.

const clock = {
  why: 'the server writes the time of day into the text',
  find: /created at [^"\\]*/g,
  put: 'created at TIME',
};
const clockInBlob = {
  why: 'the server writes the time of day into the blob, which is base64',
  find: /"blob":"[A-Za-z0-9+/=]+"/g,
  put: '"blob":"BLOB"',
};
const environment = {
  why: 'a child of the gateway has its own small environment; `differential.mjs` looks at it apart',
  find: /"text":"(?:[^"\\]|\\.)*"/g,
  put: '"text":"ENVIRONMENT"',
};
const fileTimes = {
  why: 'the folder is laid anew for each run, so its times differ',
  find: /(created|modified|accessed): [^\\"]*/g,
  put: '$1: TIME',
};
const session = {
  why: 'the server names its session with a client, which it has over HTTP and not on a pipe',
  find: /session (undefined|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})/g,
  put: 'session SESSION',
};

const call = (name, args, ...masks) => ({ tool: name, method: 'tools/call', params: { name, arguments: args }, masks });
const ask = (method, params, ...masks) => ({ method, params, masks });

export const everything = [
  call('echo', { message: 'plain' }),
  call('echo', { message: 'quote " backslash \\ newline \n snow ☃ phone \u{1F4DE} nul \u0000 slash /' }),
  call('echo', {}),
  call('echo', { message: 'with a field it does not know', extra: { deep: [1, 2.50, 1e3] } }),
  call('get-annotated-message', { messageType: 'error', includeImage: true }),
  call('get-annotated-message', { messageType: 'debug' }),
  call('get-env', {}, environment),
  call('get-resource-links', { count: 5 }),
  call('get-resource-links', { count: 99 }),
  call('get-resource-reference', { resourceType: 'Text', resourceId: 3 }, clock),
  call('get-resource-reference', { resourceType: 'Blob', resourceId: 4 }, clock, clockInBlob),
  call('get-structured-content', { location: 'New York' }),
  call('get-sum', { a: 1, b: 2 }),
  call('get-sum', { a: 0.1, b: 0.2 }),
  call('get-sum', { a: 9007199254740993, b: 1e300 }),
  call('get-tiny-image', {}),
  call('gzip-file-as-resource', { name: 'd.gz', data: 'data:text/plain,differential', outputType: 'resource' }),
  call('gzip-file-as-resource', { name: 'd.gz', data: 'data:text/plain,differential', outputType: 'resourceLink' }),
  call('toggle-simulated-logging', {}, session),
  call('toggle-simulated-logging', {}, session),
  call('toggle-subscriber-updates', {}, session),
  call('toggle-subscriber-updates', {}, session),
  { ...call('trigger-long-running-operation', { duration: 0.2, steps: 4 }), progress: true },
  call('simulate-research-query', { topic: 'trunk lines' }),
  ask('resources/read', { uri: 'demo://resource/static/document/architecture.md' }),
  ask('resources/read', { uri: 'demo://resource/dynamic/text/1' }, clock),
  ask('resources/read', { uri: 'demo://resource/dynamic/blob/2' }, clockInBlob),
  ask('resources/read', { uri: 'demo://resource/session/d.gz' }),
  ask('resources/read', { uri: 'demo://resource/dynamic/text/none' }),
  ask('prompts/get', { name: 'simple-prompt' }),
  ask('prompts/get', { name: 'args-prompt', arguments: { city: 'Tromsø' } }),
  ask('prompts/get', { name: 'args-prompt', arguments: {} }),
  ask('prompts/get', { name: 'completable-prompt', arguments: { department: 'Sales', name: 'Eve' } }),
  ask('prompts/get', { name: 'resource-prompt', arguments: { resourceType: 'Blob', resourceId: '1' } }, clockInBlob),
  ask('completion/complete', { ref: { type: 'ref/prompt', name: 'completable-prompt' }, argument: { name: 'department', value: 'E' } }),
  ask('completion/complete', { ref: { type: 'ref/resource', uri: 'demo://resource/dynamic/blob/{resourceId}' }, argument: { name: 'resourceId', value: '5' } }),
];

export const memory = [
  call('create_entities', { entities: [
    { name: 'trunk', entityType: 'line', observations: ['carries calls', 'ünïcode'] },
    { name: 'exchange', entityType: 'place', observations: [] },
  ] }),
  call('create_relations', { relations: [{ from: 'trunk', to: 'exchange', relationType: 'ends in' }] }),
  call('add_observations', { observations: [{ entityName: 'exchange', contents: ['is staffed'] }] }),
  call('add_observations', { observations: [{ entityName: 'nobody', contents: ['x'] }] }),
  call('read_graph', {}),
  call('search_nodes', { query: 'calls' }),
  call('open_nodes', { names: ['trunk'] }),
  ask('resources/read', { uri: 'memory://knowledge-graph' }),
  call('delete_observations', { deletions: [{ entityName: 'trunk', observations: ['carries calls'] }] }),
  call('delete_relations', { relations: [{ from: 'trunk', to: 'exchange', relationType: 'ends in' }] }),
  call('delete_entities', { entityNames: ['trunk', 'exchange'] }),
  call('read_graph', {}),
];

/** `folder` holds what `layFolder` put there: notes.txt, pixel.png and an empty `sub`. */
export const filesystem = (folder) => [
  call('list_allowed_directories', {}),
  call('list_directory', { path: folder }),
  call('list_directory_with_sizes', { path: folder, sortBy: 'name' }),
  call('directory_tree', { path: folder }),
  call('search_files', { path: folder, pattern: '**/*.txt' }),
  call('get_file_info', { path: `${folder}/notes.txt` }, fileTimes),
  call('read_file', { path: `${folder}/notes.txt` }),
  call('read_text_file', { path: `${folder}/notes.txt`, head: 1 }),
  call('read_text_file', { path: `${folder}/missing.txt` }),
  call('read_media_file', { path: `${folder}/pixel.png` }),
  call('read_multiple_files', { paths: [`${folder}/notes.txt`, `${folder}/missing.txt`] }),
  call('write_file', { path: `${folder}/new.txt`, content: 'line \u2028 one\r\n\ttwo "quoted" \\ \u{1F4DE}\n' }),
  call('read_text_file', { path: `${folder}/new.txt` }),
  call('edit_file', { path: `${folder}/notes.txt`, edits: [{ oldText: 'two', newText: '2' }], dryRun: true }),
  call('edit_file', { path: `${folder}/notes.txt`, edits: [{ oldText: 'not there', newText: '' }] }),
  call('create_directory', { path: `${folder}/sub/deeper` }),
  call('move_file', { source: `${folder}/new.txt`, destination: `${folder}/sub/moved.txt` }),
  call('directory_tree', { path: folder }),
  call('read_text_file', { path: '/etc/hostname' }),
];
