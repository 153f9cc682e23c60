// Many clients in one process, each of a user.
// usage: node fleet.js BASE FILE [OPTIONS]; FILE has [{lib, user, session, cookie, query}, ...],
// OPTIONS is JSON that goes over the usual options
const { options } = require('./events.js');
const [base, file, given] = process.argv.slice(2);
const chosen = { ...options, ...JSON.parse(given || '{}') };
for (const { lib, user, session, cookie, query } of JSON.parse(require('fs').readFileSync(file))) {
  const say = (event, text) => console.log(JSON.stringify({ event, data: { user, text: text === undefined ? '' : String(text) } }));
  const io = require(lib);
  const socket = (io.io || io)(`${base}/?session=${session}&connection=${lib}-${user}${query || ''}`, {
    ...chosen, forceNew: true, extraHeaders: { Cookie: cookie },
  });
  socket.on('connect', () => say('connect', socket.recovered));
  socket.on('disconnect', (reason) => say('disconnect', reason));
  socket.on('connect_error', (err) => say('connect_error', (err && err.message) || err));
  socket.on('n', (id) => say('n', id));
}
process.stdin.on('data', () => {}).on('end', () => process.exit(0));
