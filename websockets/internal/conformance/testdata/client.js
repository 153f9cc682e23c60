// A real client against the conformance server: binary data and acks in both
// directions. Prints one line of JSON for each thing that happens.
// usage: node client.js FOLDER_OF_MODULES LIBRARY URL
const { createRequire } = require('module');
const [folder, lib, url] = process.argv.slice(2);
const io = createRequire(`${folder}/`)(lib);
const plain = (value) => JSON.parse(JSON.stringify(value, (_, v) => (v && v.type === 'Buffer' ? `bytes ${v.data}` : v)));
const say = (event, args) => console.log(JSON.stringify([event, ...plain(args)]));
const socket = (io.io || io)(url, { transports: ['websocket'], reconnection: false });
socket.on('auth', (payload) => say('auth', [payload]));
for (const event of ['connect_error', 'disconnect']) {
  socket.on(event, (reason) => { say(event, [String(reason)]); process.exit(event === 'disconnect' ? 0 : 1); });
}
socket.on('connect', () => socket.emit('message', 1, Buffer.from([1, 2]), { a: [Buffer.from([3])] }));
socket.on('message-back', (...args) => {
  say('message-back', args);
  socket.emit('message-with-ack', Buffer.from([4]), { x: Buffer.from([]) }, (...acked) => {
    say('acked', acked);
    socket.emit('ask', 'q', Buffer.from([7]));
  });
});
socket.on('question', (...args) => {
  const answer = args.pop();
  say('question', args);
  answer('a', Buffer.from([9]));
});
socket.on('answer', (...args) => {
  say('answer', args);
  socket.close();
});
