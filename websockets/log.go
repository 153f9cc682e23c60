package websockets

// The keys of the log lines, constant so that an operator can search for them.
const (
	keyContext    = "context"
	keyUser       = "user"
	keyConnection = "connection"
	keyPath       = "path"
	keyCause      = "cause"
	keyReason     = "reason"
	keyCode       = "code"
	keyDuration   = "duration"
	keyCount      = "count"
	keyError      = "error"
)
