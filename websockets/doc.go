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
// An idle socket has none. On Linux, without TLS, a socket is parked in the
// poller until its client says something; a goroutine then reads until there is
// nothing more. Elsewhere a goroutine reads for as long as the socket lives.
//
// Whoever gives a socket its first message writes it, and all that comes
// meanwhile, without waiting for the client; big sends leave that to the
// flusher. What a connection does not take at once is left to a goroutine that
// waits, with a deadline. Frames are written whole and by one writer at a time,
// the control frames of coder/websocket among them.
//
// A timer for each socket sends heartbeats and ends what has gone on too long.
// All goroutines are counted by the Server, and Shutdown and Close wait for
// them.
//
// # Locks
//
// A hub shard's lock is taken before a socket's, and a socket's talk before its
// mu, never the other way round. None is held over a read or write.
package websockets
