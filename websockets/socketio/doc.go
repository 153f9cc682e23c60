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
// Sources of the rules: spec/websockets.md section 7, spec/peers.md section
// 2.3; the bounds also from the advisories that faults.md lists (W11 to W18).
package socketio
