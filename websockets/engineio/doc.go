// Package engineio holds the packets and the state machine of Engine.IO 3 and
// 4 over one Web Socket. It does no input or output and keeps no clock and no
// timer: the caller hands in frames and the time, writes what comes back, and
// calls Tick at the deadline that it is told, from whatever goroutine keeps its
// timers.
//
// The rules are in docs/reference/socketio.md.
package engineio
