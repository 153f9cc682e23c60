// Package websockets serves App Suite Web Sockets: the handshake on
// /socket.io/* and /ws/*, the hub that finds the sockets of a user, the gate
// that decides whether a user is served at all, and the sessions it asks for.
//
// # What a socket is
//
// A socket belongs to one session, and so to one (context, user). Its path is
// the path of the request as it was sent, its connection id is the client's
// own name for it. Below /socket.io it speaks Engine.IO 3 or 4 and Socket.IO,
// below /ws it gets the service messages as plain JSON text.
//
// # Goroutines
//
// A socket has one goroutine that reads and keeps its timers, and one that
// writes while there is something to write. Both are counted by the Server,
// and Shutdown and Close wait for them.
//
// # Locks
//
// A hub shard's lock is taken before a socket's, never the other way round,
// and neither is held over a write to the network.
package websockets
