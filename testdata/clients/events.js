// What the clients of the tests print: one JSON line for each thing that
// happens, in Node and in a browser's console.
function follow(socket) {
  const say = (event, data) => console.log(JSON.stringify({ event, data: data === undefined ? null : data }));
  socket.on('connect', () => say('connect'));
  socket.on('disconnect', (reason) => say('disconnect', reason));
  socket.on('connect_error', (err) => say('connect_error', String((err && err.message) || err)));
  socket.on('n', (id) => say('n', id));
  socket.on('ox:mail:new', (data) => say('ox:mail:new', data));
  socket.on('sluice:disabled', () => say('sluice:disabled'));
  socket.on('sluice:enabled', () => say('sluice:enabled'));
  socket.on('session:invalid', () => { say('session:invalid'); socket.close(); });
}

// As the web front end configures it (docs/reference/socketio.md#clients), with shorter delays.
const options = {
  path: '/socket.io/appsuite',
  transports: ['websocket'],
  reconnectionDelay: 200,
  reconnectionDelayMax: 500,
  randomizationFactor: 0,
};

if (typeof module !== 'undefined') module.exports = { follow, options };
