//go:build linux

// Sluice decides, per user, what is switched on, and pushes to those users in
// real time. See README.md.
//
// It runs on Linux: the admin socket relies on what the kernel says of its
// callers (docs/decisions/linux.md).
package main

import (
	"context"
	"os"

	"github.com/seed47708276/sluice/cli"
)

func main() {
	os.Exit(cli.Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
