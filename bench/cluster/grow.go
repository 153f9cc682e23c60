package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/seed47708276/sluice/bench/internal/chart"
	"github.com/seed47708276/sluice/bench/internal/process"
)

// What the plots are of.
var (
	grownTo = []int{9_000, 18_000, 27_000, 36_000, 45_000}                                  // sockets
	rates   = []int{500, 1_000, 2_000, 4_000, 6_000, 8_000, 10_000, 12_000, 16_000, 20_000} // messages a second
)

const (
	growMembers = 3
	// growUsers is how many sockets the driver itself has; each step adds those that
	// other processes hold.
	growUsers = 300
	// saturated is the 99th percentile, in milliseconds, from which on a rate is not
	// held: messages wait for each other.
	saturated = 1000
)

// grow draws what rates and sockets cost Sluice, each as soon as it is measured.
func (r *rig) grow(ctx context.Context, folder string, out io.Writer) error {
	draw := func(name string, c chart.Chart) error {
		return os.WriteFile(filepath.Join(folder, name), []byte(c.Draw()), 0o644)
	}
	delay, err := r.growRates(ctx, out)
	if err != nil {
		return err
	}
	if err := draw("growth-rate.svg", chart.Chart{Title: "From sending on one member to arrival from another", X: "messages a second", Y: "ms", Lines: delay}); err != nil {
		return err
	}
	memory, cpu, err := r.growSockets(ctx, out)
	if err != nil {
		return err
	}
	if err := draw("growth-sockets-memory.svg", chart.Chart{Title: "Memory of three members with sockets that are idle", X: "sockets", Y: "MiB", Lines: []chart.Line{memory}}); err != nil {
		return err
	}
	return draw("growth-sockets-cpu.svg", chart.Chart{Title: "Processor of three members with sockets that are idle", X: "sockets", Y: "ms in a second", Lines: []chart.Line{cpu}})
}

// growSockets opens sockets on three members, some at a time, and looks at what the
// members use while nobody sends.
func (r *rig) growSockets(ctx context.Context, out io.Writer) (memory, cpu chart.Line, err error) {
	memory.Name, cpu.Name = "resident", "processor"
	member := func(user int) int { return user % growMembers }
	st, err := r.stand(ctx, labelSluice, plan{members: growMembers, users: growUsers, perUser: 1, memberOf: member})
	if err != nil {
		return memory, cpu, err
	}
	defer st.close()
	// A stream into which nothing comes for as long as sockets are opened breaks off.
	st.send.close()
	st.send = nil
	var all []*holders
	defer func() {
		for _, h := range all {
			err = errors.Join(err, h.close())
		}
	}()
	have := growUsers
	for _, n := range grownTo {
		for m := range growMembers {
			some := (n - have) / (growMembers - m)
			h, err := r.holdOn(ctx, st, []int{m}, have+1, some)
			all = append(all, h)
			if err != nil {
				return memory, cpu, err
			}
			have += some
		}
		g, err := st.gauge()
		if err != nil {
			return memory, cpu, err
		}
		if err := st.Rest(ctx, r.extent.span); err != nil {
			return memory, cpu, err
		}
		still, err := g.stop()
		if err != nil {
			return memory, cpu, err
		}
		mib := 0.0
		for _, m := range st.members {
			kib, err := process.Resident(m.PID())
			if err != nil {
				return memory, cpu, err
			}
			mib += kib / 1024
		}
		ms := 1000 * still.members().Seconds() / still.Took.Seconds()
		fmt.Fprintf(out, "%d sockets: %.0f MiB, %.1f ms of the processor a second (others used %.0f %% of both cores)\n", n, mib, ms, 100*still.Foreign)
		memory.Points, cpu.Points = append(memory.Points, chart.Point{X: n, Y: mib}), append(cpu.Points, chart.Point{X: n, Y: ms})
	}
	return memory, cpu, nil
}

// growRates sends faster and faster, until messages wait for each other.
func (r *rig) growRates(ctx context.Context, out io.Writer) ([]chart.Line, error) {
	p50, p99 := chart.Line{Name: "median"}, chart.Line{Name: "99th percentile"}
	for _, rate := range rates {
		got, err := r.steady(ctx, labelSluice, rate)
		if err != nil {
			return nil, fmt.Errorf("%d a second: %w", rate, err)
		}
		fmt.Fprintf(out, "%d a second: p50 %.2f, p99 %.2f ms (others used %.0f %% of both cores)\n", rate, got.Values[0], got.Values[1], 100*got.Usage.Foreign)
		if got.Values[1] > saturated {
			fmt.Fprintf(out, "not held: left out of the plot\n")
			break
		}
		p50.Points = append(p50.Points, chart.Point{X: rate, Y: got.Values[0]})
		p99.Points = append(p99.Points, chart.Point{X: rate, Y: got.Values[1]})
	}
	return []chart.Line{p50, p99}, nil
}
