package redismodel

import (
	"fmt"
	"strconv"
	"strings"
)

const serverVersion = "7.0.15"

// hello is HELLO with AUTH and SETNAME.
func (c *conn) hello(args []string) any {
	version := c.version
	if len(args) > 1 {
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return failure("ERR Protocol version is not an integer or out of range")
		}
		if n != 2 && n != 3 {
			return failure("NOPROTO unsupported protocol version")
		}
		version = n
	}
	for i := 2; i < len(args); i++ {
		switch strings.ToLower(args[i]) {
		case "auth":
			if i+2 >= len(args) {
				return failure("ERR Syntax error in HELLO option '" + args[i] + "'")
			}
			if !c.login(args[i+1], args[i+2]) {
				return wrongPassword
			}
			i += 2
		case "setname":
			i++
		default:
			return failure("ERR Syntax error in HELLO option '" + args[i] + "'")
		}
	}
	if !c.authed {
		return failure("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
	}
	c.version = version
	return mapping{
		"server", "redis", "version", serverVersion, "proto", int64(version), "id", int64(1),
		"mode", "standalone", "role", "master", "modules",
		array{},
	}
}

const wrongPassword = failure("WRONGPASS invalid username-password pair or user is disabled.")

func (c *conn) login(user, password string) bool {
	want, known := c.s.users[user]
	if !known || want != "" && want != password {
		c.s.counts.Logins++
		return false
	}
	c.authed = true
	return true
}

func (c *conn) auth(args []string) any {
	user, password := "default", args[len(args)-1]
	switch len(args) {
	case 2:
		if want, known := c.s.users[user]; known && want == "" {
			return failure("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")
		}
	case 3:
		user = args[1]
	case 1:
		return (&call{args: args}).arity()
	default:
		return syntax
	}
	if !c.login(user, password) {
		return wrongPassword
	}
	return okay
}

func clockTime(c *call) any {
	now := c.s.now()
	return array{strconv.FormatInt(now.Unix(), 10), strconv.Itoa(now.Nanosecond() / 1000)}
}

// info is INFO with the fields that Sluice reads.
func info(c *call) any {
	replicas := 0
	if c.s.lag > 0 {
		replicas = 1
	}
	sections := []struct{ name, text string }{
		{"server", fmt.Sprintf("# Server\r\nredis_version:%s\r\nredis_mode:standalone\r\nrun_id:%s\r\n", serverVersion, c.s.runID)},
		{"memory", fmt.Sprintf("# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:%s\r\n", c.s.policy)},
		{"replication", fmt.Sprintf("# Replication\r\nrole:master\r\nconnected_slaves:%d\r\n", replicas)},
	}
	var out []string
	for _, s := range sections {
		for _, wanted := range c.args[1:] {
			if strings.EqualFold(wanted, s.name) || strings.EqualFold(wanted, "everything") || strings.EqualFold(wanted, "all") || strings.EqualFold(wanted, "default") {
				out = append(out, s.text)
				break
			}
		}
		if len(c.args) == 1 {
			out = append(out, s.text)
		}
	}
	return strings.Join(out, "\r\n")
}

// config is CONFIG GET of what Sluice asks for.
func config(c *call) any {
	if len(c.args) < 3 || !strings.EqualFold(c.args[1], "get") {
		return failure("ERR unknown subcommand or wrong number of arguments for '" + c.args[1] + "'. Try CONFIG HELP.")
	}
	out := mapping{}
	for _, name := range c.args[2:] {
		switch strings.ToLower(name) {
		case "maxmemory-policy":
			out = append(out, "maxmemory-policy", c.s.policy)
		case "maxmemory":
			out = append(out, "maxmemory", "0")
		}
	}
	return out
}

func ping(c *call) any {
	if len(c.args) == 2 {
		return c.args[1]
	}
	return status("PONG")
}

func echo(c *call) any { return c.args[1] }

// client is CLIENT with what a client tells of itself.
func client(c *call) any {
	switch strings.ToLower(c.args[1]) {
	case "id":
		return int64(1)
	case "setname", "setinfo", "no-evict":
		return okay
	}
	return failure("ERR unknown subcommand '" + c.args[1] + "'. Try CLIENT HELP.")
}
