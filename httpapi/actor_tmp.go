package httpapi

import "context"

func Actor(context.Context) string { return "loopback" }
