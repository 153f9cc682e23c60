package redistest

import "syscall"

// dieWithParent keeps a server from outliving a test process that was killed
// or panicked, in which no cleanup runs.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
