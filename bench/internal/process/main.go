package process

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// Main runs a command until it ends, or until a signal ends it, and ends the process
// with 1 where it fails.
func Main(name string, command func(ctx context.Context, args []string, stdout, stderr io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// BuildSluice builds the sources that a program's folder lies in, two folders up.
func BuildSluice(ctx context.Context, folder, binary string) error {
	return Run(ctx, filepath.Join(folder, "..", ".."), "go", "build", "-o", binary, ".")
}
