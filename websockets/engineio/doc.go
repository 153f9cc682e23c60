// Package engineio holds the packets and the state machine of Engine.IO 3 and
// 4 over one Web Socket. It does no input or output and keeps no clock: the
// caller hands in frames and the time, and writes what comes back.
//
// Sources of the rules: spec/websockets.md section 7, spec/peers.md section 2.
package engineio
