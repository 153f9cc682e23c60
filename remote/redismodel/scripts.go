package redismodel

import (
	"crypto/sha1" //nolint:gosec // the name that Redis gives a script
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

// compiled are the scripts of the whole process by their source: they are the
// same in each of a thousand servers. A test process has a few dozen.
var compiled sync.Map

func compile(source string) (*lua.FunctionProto, error) {
	if p, ok := compiled.Load(source); ok {
		return p.(*lua.FunctionProto), nil
	}
	chunk, err := parse.Parse(strings.NewReader(source), "@user_script")
	if err != nil {
		return nil, err
	}
	p, err := lua.Compile(chunk, "@user_script")
	if err == nil {
		compiled.Store(source, p)
	}
	return p, err
}

func sum(source string) string {
	s := sha1.Sum([]byte(source))
	return hex.EncodeToString(s[:])
}

func script(c *call) any {
	switch strings.ToLower(c.args[1]) {
	case "load":
		if len(c.args) != 3 {
			return c.arity()
		}
		if _, err := compile(c.args[2]); err != nil {
			return failure("ERR Error compiling script (new function): " + err.Error())
		}
		c.s.scripts[sum(c.args[2])] = c.args[2]
		return sum(c.args[2])
	case "flush":
		clear(c.s.scripts)
		return okay
	case "exists":
		out := make(array, 0, len(c.args)-2)
		for _, name := range c.args[2:] {
			_, there := c.s.scripts[strings.ToLower(name)]
			out = append(out, integer(there))
		}
		return out
	}
	return failure("ERR unknown subcommand '" + c.args[1] + "'. Try SCRIPT HELP.")
}

// eval is EVAL and EVALSHA.
func eval(c *call) any {
	n, err := strconv.Atoi(c.args[2])
	switch {
	case err != nil:
		return notInteger
	case n < 0:
		return failure("ERR Number of keys can't be negative")
	case n > len(c.args)-3:
		return failure("ERR Number of keys can't be greater than number of args")
	}
	source := c.args[1]
	if c.name() == "evalsha" {
		var there bool
		if source, there = c.s.scripts[strings.ToLower(source)]; !there {
			return failure("NOSCRIPT No matching script. Please use EVAL.")
		}
	}
	proto, err := compile(source)
	if err != nil {
		return failure("ERR Error compiling script (new function): " + err.Error())
	}
	c.s.scripts[sum(source)] = source
	L := c.s.lua()
	L.SetGlobal("KEYS", table(L, c.args[3:3+n]))
	L.SetGlobal("ARGV", table(L, c.args[3+n:]))
	L.Push(L.NewFunctionFromProto(proto))
	if err := L.PCall(0, 1, nil); err != nil {
		return scriptFailure(err, sum(source))
	}
	result := L.Get(-1)
	L.Pop(1)
	return fromLua(result)
}

// scriptFailure is what a client sees of a script that fails: an error of a
// command keeps its code.
func scriptFailure(err error, name string) any {
	text := err.Error()
	if e, ok := err.(*lua.ApiError); ok {
		text = e.Object.String()
		if t, ok := e.Object.(*lua.LTable); ok {
			if reply, ok := t.RawGetString("err").(lua.LString); ok {
				return failure(string(reply) + " script: " + name + ", on @user_script:1.")
			}
		}
	}
	return failure("ERR " + text + " script: " + name + ", on @user_script:1.")
}

func table(L *lua.LState, list []string) *lua.LTable {
	t := L.CreateTable(len(list), 0)
	for _, text := range list {
		t.Append(lua.LString(text))
	}
	return t
}

// lua is the one interpreter of the server, as Redis has one.
func (s *Server) lua() *lua.LState {
	if s.interpreter != nil {
		return s.interpreter
	}
	L := lua.NewState(lua.Options{SkipOpenLibs: true, RegistrySize: 1024, RegistryMaxSize: 1 << 20, CallStackSize: 32, MinimizeStackMemory: true})
	for name, open := range map[string]lua.LGFunction{
		lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable, lua.StringLibName: lua.OpenString, lua.MathLibName: lua.OpenMath,
	} {
		L.Push(L.NewFunction(open))
		L.Push(lua.LString(name))
		L.Call(1, 0)
	}
	redis := L.NewTable()
	L.SetFuncs(redis, map[string]lua.LGFunction{
		"call":         func(L *lua.LState) int { return s.luaCall(L, true) },
		"pcall":        func(L *lua.LState) int { return s.luaCall(L, false) },
		"error_reply":  func(L *lua.LState) int { return single(L, "err") },
		"status_reply": func(L *lua.LState) int { return single(L, "ok") },
		"sha1hex":      func(L *lua.LState) int { L.Push(lua.LString(sum(L.CheckString(1)))); return 1 },
	})
	L.SetGlobal("redis", redis)
	L.SetGlobal("cjson", cjson(L))
	s.interpreter = L
	return L
}

func single(L *lua.LState, field string) int {
	t := L.NewTable()
	t.RawSetString(field, lua.LString(L.CheckString(1)))
	L.Push(t)
	return 1
}

// luaCall is redis.call, and redis.pcall, which does not raise.
func (s *Server) luaCall(L *lua.LState, raise bool) int {
	args := make([]string, 0, L.GetTop())
	for i := 1; i <= L.GetTop(); i++ {
		switch a := L.Get(i).(type) {
		case lua.LString:
			args = append(args, string(a))
		case lua.LNumber:
			args = append(args, luaNumber(float64(a)))
		default:
			L.RaiseError("Lua redis lib command arguments must be strings or integers")
		}
	}
	if len(args) == 0 {
		L.RaiseError("Please specify at least one argument for this redis.call() call")
	}
	var answer any
	switch name := strings.ToLower(args[0]); name {
	case "eval", "evalsha", "script", "config", "client":
		answer = failure("ERR This Redis command is not allowed from script")
	default:
		if _, known := commands[name]; known {
			answer = s.run(nil, args)
		} else {
			answer = failure("ERR Unknown Redis command called from script")
		}
	}
	value := toLua(L, answer)
	if _, failed := answer.(failure); failed && raise {
		L.Error(value, 0)
	}
	L.Push(value)
	return 1
}

// luaNumber is a number as Lua hands it to Redis.
func luaNumber(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1e17 {
		return strconv.FormatInt(int64(f), 10)
	}
	return strconv.FormatFloat(f, 'g', 17, 64)
}

// toLua converts an answer as Redis does with RESP 2.
func toLua(L *lua.LState, answer any) lua.LValue {
	all := func(list []any) lua.LValue {
		t := L.CreateTable(len(list), 0)
		for i, a := range list {
			t.RawSetInt(i+1, toLua(L, a))
		}
		return t
	}
	switch a := answer.(type) {
	case nil, noArray:
		return lua.LFalse
	case status:
		t := L.NewTable()
		t.RawSetString("ok", lua.LString(a))
		return t
	case failure:
		t := L.NewTable()
		t.RawSetString("err", lua.LString(a))
		return t
	case int64:
		return lua.LNumber(a)
	case float64:
		return lua.LString(formatScore(a))
	case string:
		return lua.LString(a)
	case array:
		return all(a)
	case mapping:
		return all(a)
	case set:
		return all(a)
	case streams:
		return all(a.pairs())
	default:
		panic(fmt.Sprintf("redismodel: Lua has no %T", answer))
	}
}

// fromLua converts what a script returns.
func fromLua(v lua.LValue) any {
	switch v := v.(type) {
	case lua.LString:
		return string(v)
	case lua.LNumber:
		return int64(v)
	case lua.LBool:
		if v {
			return int64(1)
		}
		return nil
	case *lua.LTable:
		if text, ok := v.RawGetString("err").(lua.LString); ok {
			return failure(string(text))
		}
		if text, ok := v.RawGetString("ok").(lua.LString); ok {
			return status(string(text))
		}
		out := array{}
		for i := 1; ; i++ {
			e := v.RawGetInt(i)
			if e == lua.LNil {
				return out
			}
			out = append(out, fromLua(e))
		}
	default:
		return nil
	}
}
