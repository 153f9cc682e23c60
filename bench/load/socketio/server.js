// Socket.IO as its own documentation recommends for many connections: the
// native add-ons of ws, no compression, the first request let go.
// usage: node server.js SOCKETS PUBLISH PING_MS
const http = require('http');
const { Server } = require('socket.io');
const [port, admin, ping] = process.argv.slice(2).map(Number);

const server = http.createServer();
const io = new Server(server, {
  transports: ['websocket'],
  serveClient: false,
  perMessageDeflate: false,
  httpCompression: false,
  pingInterval: ping,
  pingTimeout: 20000,
});
io.engine.on('connection', (raw) => {
  raw.user = raw.request._query.user;
  raw.request = null;
});
io.on('connection', (socket) => { socket.join('u' + socket.conn.user); });
server.listen({ port, host: '127.0.0.1', backlog: 4096 });

http.createServer((req, res) => {
  const chunks = [];
  req.on('data', (c) => chunks.push(c));
  req.on('end', () => {
    for (const line of Buffer.concat(chunks).toString().split('\n')) {
      if (!line) continue;
      const { user, data } = JSON.parse(line);
      (user ? io.to('u' + user) : io).emit('m', data);
    }
    res.end();
  });
}).listen(admin, '127.0.0.1');
