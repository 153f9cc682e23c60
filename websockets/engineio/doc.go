// Package engineio holds the packets and the state machine of Engine.IO 3 and
// 4 over one Web Socket. It does no input or output and keeps no clock and no
// timer: the caller hands in frames and the time, writes what comes back, and
// calls Tick at the deadline that it is told, from whatever goroutine keeps its
// timers.
//
// Sources of the rules: spec/websockets.md section 7, spec/peers.md section 2.
package engineio
