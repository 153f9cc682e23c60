package node

import "strings"

// startLine is what the first line of a server's log tells: what runs, from
// where, and how to ask it.
func (n *Node) startLine() []any {
	st := n.engine.Status()
	cluster := "none: this member is alone"
	if n.link != nil {
		cluster = n.link.Name()
	}
	sessions := "in Redis"
	switch {
	case n.appSuite != nil:
		sessions = "App Suite's, in Redis"
	case n.own != nil:
		sessions = "in the state folder"
	}
	return []any{
		"public", n.public.Addr().String(), "admin", n.admin.Addr().String(), "socket", n.socket.Path(),
		"version", n.version, "member", n.member, "cluster", cluster,
		"trees", strings.Join(n.roots, " "), "files", len(st.Files), "state", n.state, "sessions", sessions,
		"status", st.Status, "ask", "sluice status --server unix:" + n.socket.Path(),
	}
}
