// A certified authorization server (oidc-provider) on loopback, for the interoperability tests only.
//
// Keys are made at start, tokens live in memory. Standard output carries one JSON line when the server listens, naming the
// issuer and the clients, and one after each command; everything else goes to standard error. Standard input takes the
// commands, one a line: "rotate" signs with new keys and goes on publishing the old ones, "retire" publishes only the
// newest. The server ends when its standard input does, so it cannot outlive the tests that started it.
//
// A second listener, on a free port, speaks https and asks for client certificates (RFC 8705); the metadata names it as the
// alias of the introspection endpoint.
//
// OIDC_PROVIDER_MODULES      folder that holds node_modules
// OIDC_PROVIDER_PORT         port to listen on; 0, the default, takes a free one
// OIDC_PROVIDER_KEYS         file for the keys, so that a server started later signs with the same ones; none by default
// OIDC_PROVIDER_CLIENTS      file with the metadata of more clients, a JSON array; each of them may introspect
// OIDC_PROVIDER_CERTIFICATE  file with the private key and the certificate of the https listener
// OIDC_PROVIDER_CLIENT_CA    file with the certificate of the authority that signs client certificates

import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

console.info = console.error;

// oidc-provider wants URL.parse, which came with Node 22; it has to be there before the import.
URL.parse ??= (url, base) => { try { return new URL(url, base); } catch { return null; } };

const modules = createRequire(join(process.env.OIDC_PROVIDER_MODULES, 'node_modules', 'none.js'));
const { default: Provider, errors } = await import(pathToFileURL(modules.resolve('oidc-provider')));

// The characters that RFC 6749 section 2.3.1 asks to be form-encoded in an Authorization header: a server that decodes
// refuses the secret of a client that did not encode.
const AWKWARD_SECRET = 'p:a+ss% wo=r&d/?%41~';

const CLIENTS = {
  app: { secret: 'the-secret-of-the-app', method: 'client_secret_basic', grants: ['client_credentials'] },
  rs: { secret: AWKWARD_SECRET, method: 'client_secret_basic', grants: [] },
  'rs-post': { secret: AWKWARD_SECRET, method: 'client_secret_post', grants: [] },
  stranger: { secret: 'the-secret-of-the-stranger', method: 'client_secret_basic', grants: [] },
};
const MORE_CLIENTS = JSON.parse(readFileSync(process.env.OIDC_PROVIDER_CLIENTS, 'utf8'));
const MAY_INTROSPECT = new Set(['rs', 'rs-post', ...MORE_CLIENTS.map((client) => client.client_id)]);

// The resource says what its access tokens look like: a JWS algorithm, or undefined for opaque ones.
const RESOURCES = {
  'https://jwt.example/api': 'RS256',
  'https://ps256.jwt.example/api': 'PS256',
  'https://es256.jwt.example/api': 'ES256',
  'https://es384.jwt.example/api': 'ES384',
  'https://eddsa.jwt.example/api': 'EdDSA',
  'https://ed25519.jwt.example/api': 'Ed25519',
  'https://opaque.example/api': undefined,
};
const TOKEN_LIFETIME_SECONDS = 600;

function makeKeys() {
  const pairs = [
    // One RSA key, published without `alg`: it signs RS256 and PS256 alike.
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    generateKeyPairSync('ec', { namedCurve: 'P-384' }),
    generateKeyPairSync('ed25519'),
  ];
  return pairs.map(({ privateKey }) => privateKey.export({ format: 'jwk' }));
}

function describeResource(_ctx, resource) {
  if (!Object.hasOwn(RESOURCES, resource)) throw new errors.InvalidTarget();
  const alg = RESOURCES[resource];
  const format = alg ? { accessTokenFormat: 'jwt', jwt: { sign: { alg } } } : { accessTokenFormat: 'opaque' };
  return { scope: 'read write', audience: resource, accessTokenTTL: TOKEN_LIFETIME_SECONDS, ...format };
}

function describeClient([id, { secret, method, grants }]) {
  return {
    client_id: id,
    client_secret: secret,
    token_endpoint_auth_method: method,
    grant_types: grants,
    response_types: [],
    redirect_uris: [],
  };
}

function describeAnotherClient(metadata) {
  return { grant_types: [], response_types: [], redirect_uris: [], ...metadata };
}

// What a client shows on the https listener; on the other there is nothing to show.
const getCertificate = (ctx) => ctx.socket.getPeerX509Certificate?.();

function certificateSubjectMatches(ctx, property, expected) {
  if (property !== 'tls_client_auth_subject_dn') throw new Error(`${property} is not compared here`);
  return getCertificate(ctx).subject === expected;
}

function firstKeys() {
  const file = process.env.OIDC_PROVIDER_KEYS;
  if (file && existsSync(file)) return JSON.parse(readFileSync(file, 'utf8'));
  const keys = makeKeys();
  if (file) writeFileSync(file, JSON.stringify(keys), { mode: 0o600 });
  return keys;
}

function makeProvider(issuer, keys) {
  return new Provider(issuer, {
    clients: [...Object.entries(CLIENTS).map(describeClient), ...MORE_CLIENTS.map(describeAnotherClient)],
    discovery: { mtls_endpoint_aliases: { introspection_endpoint: mtlsIntrospectionEndpoint() } },
    clientAuthMethods: [
      'client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt',
      'tls_client_auth', 'self_signed_tls_client_auth',
    ],
    jwks: { keys },
    scopes: ['read', 'write'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      encryption: { enabled: true },
      jwtIntrospection: { enabled: true },
      mTLS: {
        enabled: true,
        tlsClientAuth: true,
        selfSignedTlsClientAuth: true,
        getCertificate,
        certificateAuthorized: (ctx) => ctx.socket.authorized,
        certificateSubjectMatches,
      },
      introspection: { enabled: true, allowedPolicy: (_ctx, client) => MAY_INTROSPECT.has(client.clientId) },
      revocation: { enabled: true, allowedPolicy: (_ctx, client, token) => client.clientId === token.clientId },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: describeResource,
        useGrantedResource: () => true,
      },
    },
  });
}

const server = createServer();
const certificate = readFileSync(process.env.OIDC_PROVIDER_CERTIFICATE);
const secureServer = createSecureServer({
  key: certificate,
  cert: certificate,
  ca: readFileSync(process.env.OIDC_PROVIDER_CLIENT_CA),
  requestCert: true,
  rejectUnauthorized: false, // who is refused, and how, is the provider's to say
});
let generations = [firstKeys()];

const mtlsIntrospectionEndpoint = () => `https://127.0.0.1:${secureServer.address().port}/token/introspection`;

// A provider reads its keys once, so new keys are a new provider behind the same listeners.
function publish(issuer) {
  const provider = makeProvider(issuer, generations.flat());
  provider.on('server_error', (_ctx, error) => console.error(error));
  for (const listener of [server, secureServer]) {
    listener.removeAllListeners('request');
    listener.on('request', provider.callback());
  }
}

const COMMANDS = {
  rotate: () => { generations = [makeKeys(), ...generations]; },
  retire: () => { generations = generations.slice(0, 1); },
};

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

const listen = (listener, port) => new Promise((resolve) => { listener.listen(port, '127.0.0.1', resolve); });

await listen(server, Number(process.env.OIDC_PROVIDER_PORT ?? 0));
await listen(secureServer, 0);
const issuer = `http://127.0.0.1:${server.address().port}`;
publish(issuer);
createInterface({ input: process.stdin })
  .on('line', (command) => {
    COMMANDS[command]();
    publish(issuer);
    say({ done: command });
  })
  .on('close', () => process.exit(0));
say({
  issuer,
  mtls_introspection_endpoint: mtlsIntrospectionEndpoint(),
  secrets: Object.fromEntries(Object.entries(CLIENTS).map(([id, { secret }]) => [id, secret])),
});
