// Package redismodel is a Redis in memory for tests in virtual time: it speaks
// RESP 2 and 3 over net.Pipe, so that within a testing/synctest bubble a client
// meets it through its dialer, with its own retries, pipelines and connection
// set-up. It knows the commands that Sluice uses, runs Lua scripts, and fails
// as it is told to: it loses keys, slots and its latest writes, evicts, steps
// its clock, freezes, drops answers of what it has done, and refuses logins.
//
// That it tells the truth is held by its conformance suite, which a real
// redis-server passes as well. What it does not know it answers with an error,
// as Redis does, and never with a guess. It keeps everything in memory for the
// time of one test; it is no server for anything else.
package redismodel
