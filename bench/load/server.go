package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// server is a running peer: a process of its own, in a folder of its own.
type server struct {
	cmd     *exec.Cmd
	dir     string
	ports   []int
	port    int // of its sockets
	users   int
	fresh   float64 // resident KiB when it first answered
	dialect dialect
	http    *http.Client
	publish func(batch []message) (*http.Request, error)
	answer  func(body []byte, batch int) error
	request func(i int) []byte
}

// userOf is the user of socket i, from 1 on.
func (s *server) userOf(i int) int { return i%s.users + 1 }

// launch starts a command with so many free ports. In its arguments, DIR and
// PORT0, PORT1... stand for the folder and the ports.
func (r *rig) launch(ctx context.Context, args []string, files map[string]string, ports int) (_ *server, err error) {
	s := &server{http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: time.Minute}}
	if s.dir, err = os.MkdirTemp("", "sluice-load-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(s.dir)
		}
	}()
	for name, text := range files {
		path := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	expand := []string{"DIR", s.dir}
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		s.ports = append(s.ports, l.Addr().(*net.TCPAddr).Port)
		expand = append(expand, fmt.Sprintf("PORT%d", i), strconv.Itoa(s.ports[i]))
		// Held until all are chosen, so that they differ.
		defer l.Close()
	}
	s.port = s.ports[0]
	var full []string
	if r.pinned {
		full = []string{"taskset", "-c", strconv.Itoa(serverCore)}
	}
	for _, a := range args {
		full = append(full, strings.NewReplacer(expand...).Replace(a))
	}
	s.cmd = exec.CommandContext(ctx, full[0], full[1:]...)
	log, err := os.Create(s.log())
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	return s, nil
}

func (s *server) log() string { return filepath.Join(s.dir, "log") }

// startUp bounds the time until a server answers; Node takes a second on a
// busy machine.
const startUp = 30 * time.Second

// up starts the process and waits until a URL answers.
func (s *server) up(ctx context.Context, url string) error {
	if err := s.cmd.Start(); err != nil {
		_ = os.RemoveAll(s.dir)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startUp)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if r, err := s.http.Do(req); err == nil {
			_ = r.Body.Close()
			s.fresh, err = resident(s.pid())
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			log, _ := os.ReadFile(s.log()) // what it says goes into the error, if anything
			s.stop()
			return fmt.Errorf("%v does not answer on %s within %s: %w\n%s", s.cmd.Args, url, startUp, ctx.Err(), log)
		}
	}
}

// stop ends the process; its state is not wanted any more.
func (s *server) stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // says that it was killed
	s.http.CloseIdleConnections()
	_ = os.RemoveAll(s.dir)
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// stillFor and stillLimit: a server is quiet when it used at most one tick of
// CPU for so long; it has so long to become quiet.
const (
	stillFor   = 300 * time.Millisecond
	stillLimit = 30 * time.Second
)

// quiet waits until the server has done what was left to do.
func (s *server) quiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stillLimit)
	defer cancel()
	for {
		before, err := cpuTime(s.pid())
		if err != nil {
			return err
		}
		select {
		case <-time.After(stillFor):
		case <-ctx.Done():
			return fmt.Errorf("%s is not quiet after %s: %w", s.cmd.Args, stillLimit, ctx.Err())
		}
		after, err := cpuTime(s.pid())
		if err != nil {
			return err
		}
		if after-before <= tick {
			return nil
		}
	}
}

// post sends a batch in one request.
func (s *server) post(ctx context.Context, batch []message) error {
	req, err := s.publish(batch)
	if err != nil {
		return err
	}
	r, err := s.http.Do(req.WithContext(ctx))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %.300s", r.Status, bytes.TrimSpace(body))
	}
	return s.answer(body, len(batch))
}
