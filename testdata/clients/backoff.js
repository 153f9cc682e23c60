// The four clients in one process, which tell of each handshake that is answered and
// of each further try. The wait before a try doubles from 20 ms on, without chance.
// usage: node backoff.js BASE SESSION COOKIE USER_AGENT
const [base, session, cookie, agent] = process.argv.slice(2);
for (const lib of ['sio1', 'sio2', 'sio3', 'sio4']) {
  const say = (event, data) => console.log(JSON.stringify({ lib, event, data: data === undefined ? null : data }));
  const io = require(lib);
  const socket = (io.io || io)(`${base}/?session=${session}&connection=${lib}`, {
    path: '/socket.io/appsuite', transports: ['websocket'], forceNew: true,
    reconnectionDelay: 20, reconnectionDelayMax: 600000, randomizationFactor: 0,
    extraHeaders: { Cookie: cookie, 'User-Agent': agent },
  });
  socket.io.on('open', () => say('open'));
  socket.io.on('reconnect_attempt', (n) => say('attempt', n));
  socket.on('connect', () => say('connect'));
  socket.on('disconnect', (reason) => say('disconnect', reason));
}
process.stdin.on('data', () => {}).on('end', () => process.exit(0));
