package node

import "strings"

// startLine is what the first line of a server's log tells: what runs, from
// where, and how to ask it.
func (s *Node) startLine() []any {
	st := s.engine.Status()
	cluster := "none: this member is alone"
	if s.link != nil {
		cluster = s.link.Name()
	}
	sessions := "in Redis"
	switch {
	case s.appSuite != nil:
		sessions = "App Suite's, in Redis"
	case s.own != nil:
		sessions = "in the state folder"
	}
	return []any{
		"public", s.public.Addr().String(), "admin", s.admin.Addr().String(), "socket", s.socket.Path(),
		"version", s.version, "member", s.member, "cluster", cluster,
		"trees", strings.Join(s.roots, " "), "files", len(st.Files), "state", s.state, "sessions", sessions,
		"status", st.Status, "ask", "sluice status --server unix:" + s.socket.Path(),
	}
}
