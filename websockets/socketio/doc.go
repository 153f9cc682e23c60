// Package socketio holds the packets and the state machine of Socket.IO over
// Engine.IO 3 (Socket.IO protocol 4) and Engine.IO 4 (protocol 5), for a
// server whose only namespace is "/". It does no input or output.
//
// Sources of the rules: spec/websockets.md section 7, spec/peers.md section 2.3.
package socketio
