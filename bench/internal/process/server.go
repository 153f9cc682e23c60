// Package process runs the servers that a driver measures, and reads what they
// use.
package process

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Server is a running peer: a process of its own, in a folder of its own.
type Server struct {
	Ports []int
	Fresh float64 // resident KiB when it first answered
	HTTP  *http.Client
	Cmd   *exec.Cmd
	Dir   string
}

// Launch prepares a command with so many free ports, on ServerCore where it is
// pinned; Up starts it. In its arguments, DIR and
// PORT0, PORT1... stand for the folder and the ports; in its files, DIR does.
func Launch(ctx context.Context, pinned bool, args []string, files map[string]string, ports int) (_ *Server, err error) {
	s := &Server{HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: time.Minute}}
	if s.Dir, err = os.MkdirTemp("", "sluice-load-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(s.Dir)
		}
	}()
	for name, text := range files {
		path := filepath.Join(s.Dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		// A file may hold a token, which nobody else may read.
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", s.Dir)), 0o600); err != nil {
			return nil, err
		}
	}
	expand := []string{"DIR", s.Dir}
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		s.Ports = append(s.Ports, l.Addr().(*net.TCPAddr).Port)
		expand = append(expand, fmt.Sprintf("PORT%d", i), strconv.Itoa(s.Ports[i]))
		// Held until all are chosen, so that they differ.
		defer l.Close()
	}
	var full []string
	if pinned {
		full = []string{"taskset", "-c", strconv.Itoa(ServerCore)}
	}
	for _, a := range args {
		full = append(full, strings.NewReplacer(expand...).Replace(a))
	}
	s.Cmd = exec.CommandContext(ctx, full[0], full[1:]...)
	log, err := os.Create(s.log())
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.Cmd.Stdout, s.Cmd.Stderr = log, log
	return s, nil
}

func (s *Server) log() string { return filepath.Join(s.Dir, "log") }

// startUp bounds the time until a server answers; Node takes a second on a
// busy machine.
const startUp = 30 * time.Second

// Up starts the process and waits until a URL answers.
func (s *Server) Up(ctx context.Context, url string) error {
	return s.UpWhen(ctx, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		r, err := s.HTTP.Do(req)
		if err != nil {
			return err
		}
		return r.Body.Close()
	})
}

// UpWhen starts the process and waits until ready returns no error.
func (s *Server) UpWhen(ctx context.Context, ready func(context.Context) error) error {
	if err := s.Cmd.Start(); err != nil {
		_ = os.RemoveAll(s.Dir)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startUp)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			s.Fresh, err = Resident(s.PID())
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			log, _ := os.ReadFile(s.log()) // what it says goes into the error, if anything
			s.Stop()
			return fmt.Errorf("%v is not ready within %s: %w\n%s", s.Cmd.Args, startUp, err, log)
		}
	}
}

// Stop ends the process; its state is not wanted any more.
func (s *Server) Stop() {
	_ = s.Cmd.Process.Kill()
	_ = s.Cmd.Wait() // says that it was killed
	s.HTTP.CloseIdleConnections()
	_ = os.RemoveAll(s.Dir)
}

// PID is that of the process.
func (s *Server) PID() int { return s.Cmd.Process.Pid }

// stillFor and stillLimit: a server is quiet when it used at most one tick of
// CPU for so long; it has so long to become quiet.
const (
	stillFor   = 300 * time.Millisecond
	stillLimit = 30 * time.Second
)

// Quiet waits until the server has done what was left to do.
func (s *Server) Quiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stillLimit)
	defer cancel()
	for {
		before, err := CPUTime(s.PID())
		if err != nil {
			return err
		}
		select {
		case <-time.After(stillFor):
		case <-ctx.Done():
			return fmt.Errorf("%s is not quiet after %s: %w", s.Cmd.Args, stillLimit, ctx.Err())
		}
		after, err := CPUTime(s.PID())
		if err != nil {
			return err
		}
		if after-before <= Tick {
			return nil
		}
	}
}
