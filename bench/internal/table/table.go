// Package table compares figures of peers: which are chosen, how often they run,
// and whether a number meets its aim.
package table

import (
	"fmt"
	"slices"
	"time"
)

// Column is a number with its aim.
type Column struct {
	Label  string
	Factor float64 // of the yardstick's number in the same run; 0: no aim
	More   bool    // at least, else at most
	Limit  float64 // at most, whatever the peers reach; 0: none
	Floor  float64 // at least, whatever the peers reach; 0: none
}

// Verdict returns the cells ratio, aim and whether it is met. Either number may
// be missing.
func (c Column) Verdict(own, yardstick *float64) string {
	ratio, aim, met := "", "", false
	if own != nil && yardstick != nil && *yardstick > 0 {
		ratio = fmt.Sprintf("%.2f", *own / *yardstick)
	}
	value := func(p *float64) float64 {
		if p == nil {
			return 0
		}
		return *p
	}
	switch {
	case c.Floor > 0:
		aim, met = fmt.Sprintf("at least %g", c.Floor), value(own) >= c.Floor
	case c.Limit > 0:
		aim, met = fmt.Sprintf("at most %g", c.Limit), value(own) <= c.Limit
	case c.Factor == 0:
		return ratio + "\t\t"
	case c.More:
		aim, met = fmt.Sprintf("at least %g times", c.Factor), value(own) >= c.Factor*value(yardstick)
	default:
		aim, met = fmt.Sprintf("at most %g times", c.Factor), value(own) <= c.Factor*value(yardstick)
	}
	switch {
	case own == nil || c.Limit == 0 && c.Floor == 0 && yardstick == nil:
		return ratio + "\t" + aim + "\t"
	case met:
		return ratio + "\t" + aim + "\tmet"
	default:
		return ratio + "\t" + aim + "\tNOT MET"
	}
}

// Median does not change the list.
func Median(list []float64) float64 {
	v := slices.Sorted(slices.Values(list))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Number is how a value is printed.
func Number(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// Quantile is in milliseconds; the delays are in order.
func Quantile(delay []time.Duration, q float64) float64 {
	if len(delay) == 0 {
		return 0
	}
	return float64(delay[int(q*float64(len(delay)-1))].Nanoseconds()) / 1e6
}
