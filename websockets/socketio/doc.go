// Package socketio holds the packets and the state machine of Socket.IO over
// Engine.IO 3 (Socket.IO protocol 4) and Engine.IO 4 (protocol 5). It does no
// input or output and keeps no clock and no timer: the caller hands in the
// messages of Engine.IO and the time, writes what comes back, and calls Tick at
// the deadline that it is told.
//
// A Session is one connection. A client is in the namespaces that it has joined
// out of those that the server has; "/" is always one of them. What is rare is
// only there when it is needed: other namespaces, acks that this side waits
// for, binary data that is still on its way.
//
// The rules are in docs/reference/socketio.md; the bounds also answer the attacks
// in docs/reference/attacks.md#socketio.
package socketio
