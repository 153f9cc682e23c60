// A real client as the web front end configures it (spec peers.md 1.1), with
// shorter delays. Prints one JSON line for each thing that happens.
// usage: node client.js sio1|sio2|sio3|sio4 BASE SESSION COOKIE CONNECTION
const [lib, base, session, cookie, connection] = process.argv.slice(2);
const io = require(lib);
const say = (event, data) => console.log(JSON.stringify({ event, data: data === undefined ? null : data }));
const socket = (io.io || io)(`${base}/?session=${session}&connection=${connection}`, {
  path: '/socket.io/appsuite',
  transports: ['websocket'],
  reconnectionDelay: 200,
  reconnectionDelayMax: 500,
  randomizationFactor: 0,
  extraHeaders: { Cookie: cookie },
});
socket.on('connect', () => say('connect'));
socket.on('disconnect', (reason) => say('disconnect', reason));
socket.on('connect_error', (err) => say('connect_error', String((err && err.message) || err)));
socket.on('ox:mail:new', (data) => say('ox:mail:new', data));
socket.on('sluice:disabled', () => say('sluice:disabled'));
socket.on('session:invalid', () => { say('session:invalid'); socket.close(); });
process.stdin.on('data', () => {}).on('end', () => process.exit(0));
