// Package redis runs the Redis of a driver, and reads what it has done.
package redis

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/seed47708276/sluice/bench/internal/process"
)

// Redis is a server of its own, without persistence.
type Redis struct {
	*process.Server
	Port int
}

// Start starts one, and returns when it answers.
func Start(ctx context.Context) (*Redis, error) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return nil, fmt.Errorf("%w: install the package redis-server", err)
	}
	p, err := process.Launch(ctx, false, []string{"redis-server", "--port", "PORT0", "--bind", "127.0.0.1", "--dir", "DIR", "--daemonize", "no", "--save", "", "--appendonly", "no"}, nil, 1)
	if err != nil {
		return nil, err
	}
	r := &Redis{p, p.Ports[0]}
	return r, p.UpWhen(ctx, func(context.Context) error {
		_, err := r.info()
		return err
	})
}

const infoTimeout = 5 * time.Second

// info is what the server says of itself, by name.
func (r *Redis) info() (map[string]string, error) {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(r.Port)), infoTimeout)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(infoTimeout)); err != nil {
		return nil, err
	}
	// QUIT has the server close the connection behind its answers.
	if _, err := io.WriteString(conn, "INFO everything\r\nQUIT\r\n"); err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(answer)); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok {
			all[name] = value
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("redis: no INFO but %.100q", answer)
	}
	return all, nil
}

// Work is what Redis has done since its start.
type Work struct {
	Commands float64 // within transactions and scripts as well
	Reads    float64 // from sockets: a pipeline that fits into 16 KiB is one
	In, Out  float64 // bytes
	Memory   float64 // bytes, now
}

// Work asks for it.
func (r *Redis) Work() (w Work, err error) {
	all, err := r.info()
	if err != nil {
		return w, err
	}
	for name, to := range map[string]*float64{
		"total_reads_processed": &w.Reads, "total_net_input_bytes": &w.In, "total_net_output_bytes": &w.Out, "used_memory": &w.Memory,
	} {
		if *to, err = strconv.ParseFloat(all[name], 64); err != nil {
			return w, fmt.Errorf("redis: %s of INFO: %w", name, err)
		}
	}
	for name, value := range all {
		// cmdstat_xadd:calls=1,usec=2,...
		if _, ok := strings.CutPrefix(name, "cmdstat_"); !ok {
			continue
		}
		calls, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
		n, err := strconv.ParseFloat(calls, 64)
		if err != nil {
			return w, fmt.Errorf("redis: %s:%s: %w", name, value, err)
		}
		w.Commands += n
	}
	return w, nil
}

// Since returns what was done between two looks; Memory is what was added.
func (w Work) Since(before Work) Work {
	return Work{w.Commands - before.Commands, w.Reads - before.Reads, w.In - before.In, w.Out - before.Out, w.Memory - before.Memory}
}
