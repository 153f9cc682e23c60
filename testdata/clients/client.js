// A real client in Node.
// usage: node client.js sio1|sio2|sio3|sio4 BASE SESSION COOKIE CONNECTION
const { follow, options } = require('./events.js');
const [lib, base, session, cookie, connection] = process.argv.slice(2);
const io = require(lib);
follow((io.io || io)(`${base}/?session=${session}&connection=${connection}`, { ...options, extraHeaders: { Cookie: cookie } }));
process.stdin.on('data', () => {}).on('end', () => process.exit(0));
