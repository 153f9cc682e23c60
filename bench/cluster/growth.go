package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed47708276/sluice/bench/internal/table"
)

// growth tells how the cost of a message grows with the members, with the
// sockets that are registered, and with those of a user.
func (r *rig) growth() []table.Figure {
	cost := []table.Column{
		{Label: "p50 ms"}, {Label: "p99 ms"}, {Label: "Redis commands per message"}, {Label: "CPU us per message, members"}, {Label: "CPU us per message, Redis"},
	}
	own := []string{labelSluice}
	var all []table.Figure
	for _, n := range r.extent.members {
		all = append(all, table.Figure{
			Label:   fmt.Sprintf("%d members", n),
			Columns: append([]table.Column{{Label: "idle: Redis commands/s per member"}, {Label: "idle: CPU ms/s per member"}}, cost...),
			Only:    own,
			Run:     func(ctx context.Context, peer string) (table.Reading, error) { return r.ofMembers(ctx, peer, n) },
		})
	}
	for _, n := range r.extent.registered {
		all = append(all, table.Figure{
			Label: fmt.Sprintf("%d sockets", n),
			Columns: append([]table.Column{
				{Label: "bytes of Redis per socket"}, {Label: "handshakes/s", More: true}, {Label: "idle: Redis commands/s"},
			}, cost...),
			Only: own,
			Run:  func(ctx context.Context, peer string) (table.Reading, error) { return r.ofSockets(ctx, peer, n) },
		})
	}
	for _, n := range r.extent.perUser {
		all = append(all, table.Figure{
			Label: fmt.Sprintf("%d a user", n), Columns: cost, Only: own,
			Run: func(ctx context.Context, peer string) (table.Reading, error) { return r.ofUser(ctx, peer, n) },
		})
	}
	return all
}

// costs are the numbers of the columns that the figures share.
func (m measured) costs() []float64 {
	return []float64{m.quantile(0.5), m.quantile(0.99), m.per(m.redis.Commands), m.micros(m.members()), m.micros(m.cpu[0])}
}

// idle measures what a cluster does where nobody sends.
func (st *stand) idle(ctx context.Context, x extent) (m measured, err error) {
	g, err := st.gauge()
	if err != nil {
		return m, err
	}
	if err := st.serve(ctx, x.span, never); err != nil {
		return m, err
	}
	return g.stop()
}

// ofMembers has the receivers on all members but that which is sent to.
func (r *rig) ofMembers(ctx context.Context, peer string, n int) (table.Reading, error) {
	x := r.extent
	st, err := r.stand(ctx, peer, plan{members: n, users: x.users, perUser: 1, memberOf: func(user int) int { return 1 + user%(n-1) }})
	if err != nil {
		return table.Reading{}, err
	}
	defer st.close()
	still, err := st.idle(ctx, x)
	if err != nil {
		return table.Reading{}, err
	}
	m, err := st.steady(ctx, x, x.rates[0])
	if err != nil {
		return table.Reading{}, err
	}
	seconds := still.Took.Seconds() * float64(n)
	return table.Reading{Values: append([]float64{still.redis.Commands / seconds, 1e3 * still.members().Seconds() / seconds}, m.costs()...), Usage: m.Usage}, nil
}

// ofSockets has so many sockets registered, of which some are sent to.
func (r *rig) ofSockets(ctx context.Context, peer string, n int) (got table.Reading, err error) {
	x := r.extent
	users := min(x.users, n)
	more := n - users // held by other processes
	members := max(2, 1+(more+x.mostHeld-1)/x.mostHeld)
	st, err := r.stand(ctx, peer, plan{members: members, users: users, perUser: 1, memberOf: onB})
	if err != nil {
		return table.Reading{}, err
	}
	defer st.close()
	h, err := r.hold(ctx, st, users+1, more)
	defer func() { err = errors.Join(err, h.close()) }()
	if err != nil {
		return table.Reading{}, err
	}
	still, err := st.idle(ctx, x)
	if err != nil {
		return table.Reading{}, err
	}
	m, err := st.steady(ctx, x, x.rates[0])
	if err != nil {
		return table.Reading{}, err
	}
	return table.Reading{Values: append([]float64{st.registered / float64(n), float64(n) / st.connected.Seconds(), still.redis.Commands / still.Took.Seconds()}, m.costs()...), Usage: m.Usage}, nil
}

// ofUser has so many sockets of each user.
func (r *rig) ofUser(ctx context.Context, peer string, n int) (table.Reading, error) {
	x := r.extent
	st, err := r.stand(ctx, peer, plan{members: 2, users: x.users, perUser: n, memberOf: onB})
	if err != nil {
		return table.Reading{}, err
	}
	defer st.close()
	m, err := st.steady(ctx, x, x.rates[0])
	if err != nil {
		return table.Reading{}, err
	}
	return table.Reading{Values: m.costs(), Usage: m.Usage}, nil
}
