// One node of Socket.IO, beside others on the same Redis, with an adapter as
// its own documentation sets it up. It takes commands as lines of JSON on
// standard input and answers each with a line.
// usage: node server.js ADAPTER SOCKETS_PORT REDIS_PORT
const http = require('http');
const readline = require('readline');
const { createClient } = require('redis');
const { Server } = require('socket.io');

const [name, port, redisPort] = process.argv.slice(2);

async function adapter() {
  const client = createClient({ url: `redis://127.0.0.1:${redisPort}` });
  client.on('error', (e) => { console.error(e); process.exit(1); });
  await client.connect();
  if (name === 'streams') {
    return require('@socket.io/redis-streams-adapter').createAdapter(client);
  }
  const sub = client.duplicate();
  sub.on('error', (e) => { console.error(e); process.exit(1); });
  await sub.connect();
  return require('@socket.io/redis-adapter').createAdapter(client, sub);
}

// sender emits messages 1, 2, 3... to the users in turn: so many a second, each
// millisecond those that are due, or as many as the driver allows.
const sender = {
  users: 1, filler: '', sent: 0, allowed: 0, rate: 0, since: 0n, base: 0,
  emit(io) {
    const n = ++this.sent;
    const user = 1 + ((n - 1) % this.users);
    // The clock is CLOCK_MONOTONIC, as the driver's.
    const at = process.hrtime.bigint().toString().padStart(16, '0');
    io.to('u' + user).emit('m', String(n).padStart(9, '0') + at + this.filler);
  },
  // burst bounds what one turn of the loop emits, so that the replies of Redis
  // are read in between.
  burst: 256,
  turn(io) {
    if (this.rate > 0) {
      const elapsed = Number(process.hrtime.bigint() - this.since) / 1e9;
      this.allowed = this.base + Math.floor(elapsed * this.rate);
    }
    for (let i = 0; i < this.burst && this.sent < this.allowed; i++) this.emit(io);
    if (this.sent < this.allowed) {
      setImmediate(() => this.turn(io));
    } else if (this.rate > 0) {
      setTimeout(() => this.turn(io), 1);
    } else {
      this.idle = true;
    }
  },
  idle: true,
  command(io, c) {
    if (c.users) { this.users = c.users; this.filler = 'x'.repeat(c.filler); }
    if (c.rate !== undefined) {
      this.rate = c.rate;
      this.base = this.sent;
      this.since = process.hrtime.bigint();
      if (!c.rate) this.allowed = this.sent;
    }
    if (c.upTo) this.allowed = Math.max(this.allowed, c.upTo);
    if (this.idle && (this.rate > 0 || this.sent < this.allowed)) {
      this.idle = false;
      this.turn(io);
    }
  },
};

(async () => {
  const server = http.createServer();
  const io = new Server(server, {
    transports: ['websocket'],
    serveClient: false,
    perMessageDeflate: false,
    httpCompression: false,
    adapter: await adapter(),
  });
  io.engine.on('connection', (raw) => {
    raw.user = raw.request._query.user;
    raw.request = null;
  });
  io.on('connection', (socket) => { socket.join('u' + socket.conn.user); });
  server.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 });

  readline.createInterface({ input: process.stdin }).on('line', (line) => {
    sender.command(io, JSON.parse(line));
    process.stdout.write(JSON.stringify({ sent: sender.sent }) + '\n');
  }).on('close', () => process.exit(0));
})();
