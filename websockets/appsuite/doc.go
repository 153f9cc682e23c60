// Package appsuite reads the sessions that App Suite 8 keeps in Redis
// (docs/reference/sessions.md), so that a login there is good for a socket
// here.
//
// # What is read and written
//
// A session is the JSON below ox-session:ID, and is alive while its last use,
// the score of its id in ox-sessionids-shortlife or -longlife, is younger than
// the lifetime of that set: the keys themselves have none, and App Suite
// removes what has expired only now and then. The one thing that is ever
// written is that score, of ids that have one, and never to an earlier time.
//
// # What is believed
//
// A document that is not what the specification says is no session, and is
// counted by what is wrong with it. A Redis that cannot answer is an error,
// never "no such session". An event on ox-channel:sessionEvents only says where
// to look.
//
// No id, secret or part of a document is in an error, a log line or a counter.
package appsuite
