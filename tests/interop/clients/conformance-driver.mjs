  const keys = AUTH ? await oauthKeys() : '';
  writeFileSync(config, `[gateway]\nlisten = "127.0.0.1:0"\ndata_dir = "${folder}/data"\n\n[servers.suite]\nurl = "${url}"\nquestions = true\nisolation = "session"\n${keys}`);
  gateway = spawn(trunkline, ['serve', '--config', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  base = await new Promise((resolve, reject) => {
    gateway.on('exit', (code) => reject(new Error(`the gateway left with status ${code}: ${said.slice(-3).join(' ')}`)));
    createInterface({ input: gateway.stderr }).on('line', (line) => {
      said.push(line);
      const address = / listens on (http:\S+)/.exec(line)?.[1];
      if (address) resolve(address);
    });
  });
  await untilReady();
  return `${base}/mcp/suite`;
}

/** Waits for the suite's server, and logs in to it when it asks for that. */
async function untilReady() {
  let end = Date.now() + READY_TIMEOUT_MS;
  for (;;) {
    const readiness = await (await fetch(`${base}/readyz`)).json();
    const why = readiness.degraded.suite ?? '';
    if (readiness.servers.suite === 'ready') return;
    if (AUTH && readiness.servers.suite === 'failed') {
      if (!why.includes('trunkline login') || logins >= MAX_LOGINS) throw new Error(why);
      await login();
      end = Date.now() + READY_TIMEOUT_MS;
      // It is noticed within a second; until then the state is the one before.
      await gone(why, end);
    }
    if (Date.now() > end) throw new Error(`the suite's server does not become ready: ${JSON.stringify(readiness)} ${said.slice(-3).join(' ')}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Waits until a state that is over is no longer shown. */
async function gone(why, end) {
  while (Date.now() < end) {
    const { degraded } = await (await fetch(`${base}/readyz`)).json();
    if (degraded.suite !== why) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** What an operator writes into the entry who knows the authorization server. */
async function oauthKeys() {
  const { client_id: id, client_secret: secret, private_key_pem: key } = context;
  const text = (value) => JSON.stringify(value);
  const keys = [`client_metadata_url = ${text(METADATA_DOCUMENT)}`];
  if (id) {
    const { origin, pathname } = new URL(url);
    const metadata = await (await fetch(`${origin}/.well-known/oauth-protected-resource${pathname}`)).json();
    keys.push(`client_id = ${text(id)}`, `issuer = ${text(metadata.authorization_servers[0])}`);
  }
  if (secret) keys.push(`client_secret = ${text(secret)}`);
  if (key) keys.push(`private_key = ${text(key)}`);
  if (scenario.startsWith('auth/client-credentials')) keys.push('grant = "client_credentials"');
  return `[servers.suite.oauth]\n${keys.join('\n')}\n`;
}

/** `trunkline login`, and a browser whose person says yes to everything. */
async function login() {
  logins += 1;
  const terminal = spawn(trunkline, ['login', 'suite', '--no-browser', '--config', join(folder, 'gateway.toml')], { stdio: ['ignore', 'pipe', 'pipe'] });
  let words = '';
  terminal.stderr.on('data', (piece) => (words += piece));
  const ended = new Promise((resolve) => terminal.once('close', resolve));
  createInterface({ input: terminal.stdout }).once('line', async (page) => {
    const response = await fetch(page, { redirect: 'manual' });
    const back = response.headers.get('location');
    // What the authorization server does not send back never ends.
    if (back) await fetch(back).catch(() => {});
    else terminal.kill();
  });
  const code = await ended;
  if (code !== 0) throw new Error(`the login failed: ${words.trim().split('\n').at(-1)}`);
}

async function stopGateway() {
  if (!gateway || gateway.exitCode !== null) return;
  const gone = new Promise((resolve) => gateway.once('exit', resolve));
  gateway.kill('SIGTERM');
  await gone;
}
