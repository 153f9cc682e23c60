package redismodel

import (
	"bytes"
	"encoding/json"
	"fmt"

	lua "github.com/yuin/gopher-lua"
)

// cjson is the library of that name, as far as scripts use it: numbers are
// float64, null is a value that is not nil.
func cjson(L *lua.LState) *lua.LTable {
	null := L.NewUserData()
	lib := L.NewTable()
	lib.RawSetString("null", null)
	L.SetFuncs(lib, map[string]lua.LGFunction{
		"decode": func(L *lua.LState) int {
			var v any
			if err := json.Unmarshal([]byte(L.CheckString(1)), &v); err != nil {
				L.RaiseError("%s", err.Error())
			}
			L.Push(decoded(L, v, null))
			return 1
		},
		"encode": func(L *lua.LState) int {
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(encoded(L.CheckAny(1), null)); err != nil {
				L.RaiseError("%s", err.Error())
			}
			L.Push(lua.LString(bytes.TrimSuffix(b.Bytes(), []byte{'\n'})))
			return 1
		},
	})
	return lib
}

func decoded(L *lua.LState, v any, null lua.LValue) lua.LValue {
	switch v := v.(type) {
	case nil:
		return null
	case bool:
		return lua.LBool(v)
	case float64:
		return lua.LNumber(v)
	case string:
		return lua.LString(v)
	case []any:
		t := L.NewTable()
		for i, e := range v {
			t.RawSetInt(i+1, decoded(L, e, null))
		}
		return t
	case map[string]any:
		t := L.NewTable()
		for k, e := range v {
			t.RawSetString(k, decoded(L, e, null))
		}
		return t
	default:
		panic(fmt.Sprintf("redismodel: JSON has no %T", v))
	}
}

func encoded(v lua.LValue, null lua.LValue) any {
	switch v := v.(type) {
	case lua.LString:
		return string(v)
	case lua.LNumber:
		return float64(v)
	case lua.LBool:
		return bool(v)
	case *lua.LTable:
		if n := v.Len(); n > 0 {
			list := make([]any, n)
			for i := range list {
				list[i] = encoded(v.RawGetInt(i+1), null)
			}
			return list
		}
		object := map[string]any{}
		v.ForEach(func(k, e lua.LValue) { object[k.String()] = encoded(e, null) })
		return object
	default:
		if v == null {
			return nil
		}
		return nil
	}
}
