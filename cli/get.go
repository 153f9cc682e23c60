package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/node"
)

// got is a property as get prints it.
type got struct {
	Value     string   `json:"value"`
	Scope     string   `json:"scope"`
	Effective any      `json:"effective,omitempty"`
	Warnings  []string `json:"warnings,omitempty"` // where something else is in force than a file says
}

func (a *app) getCmd() *cobra.Command {
	var sf subjectFlags
	var all bool
	var prefix string
	cmd := &cobra.Command{
		Use:   "get PROPERTY... | --all | --prefix P [--context C [--user U]]",
		Short: "Print values",
		Long: `Prints NAME=VALUE and the scope that it comes from, or with -o json
{"NAME":{"value":"...","scope":"...","effective":...}}. What is not defined is left
out, and ends with 1 where it was asked for by name.`,
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
			return completeProperties(cmd, nil, prefix)
		},
		RunE: func(cmd *cobra.Command, names []string) error {
			su, err := sf.subject(a, cmd)
			if err != nil {
				return err
			}
			byPrefix := cmd.Flags().Changed("prefix")
			if n := len(names); (n > 0 && (all || byPrefix)) || all && byPrefix {
				return usage("name properties, or use --all, or --prefix: one of them")
			} else if n == 0 && !all && !byPrefix {
				return usage("name at least one property, or use --all or --prefix")
			}
			values, missing, err := a.values(su, names, prefix)
			if err != nil {
				return err
			}
			if err := a.showValues(values); err != nil {
				return err
			}
			for _, n := range missing {
				a.note("%s is not defined for %s%s", n, su, node.Schema().Near(n))
			}
			if len(missing) > 0 {
				return silent
			}
			return nil
		},
	}
	sf.add(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "every property that any scope defines")
	cmd.Flags().StringVar(&prefix, "prefix", "", "every property whose name begins with this")
	return cmd
}

// values resolves the named properties, or without names all below a prefix.
func (a *app) values(su cascade.Subject, names []string, prefix string) (map[string]got, []string, error) {
	values, missing := map[string]got{}, []string(nil)
	add := func(x cascade.Explanation) {
		g := got{Effective: x.Effective}
		switch {
		case x.Scope == nil:
			if len(names) > 0 {
				missing = append(missing, x.Property)
			}
			return
		case x.Value != nil:
			g.Value = *x.Value
		case x.Default != nil:
			g.Value = *x.Default
		}
		g.Scope = *x.Scope
		if x.Differs() {
			g.Warnings = x.Warnings
		}
		values[x.Property] = g
	}
	if len(a.etc) > 0 {
		sn, err := a.offline()
		if err != nil {
			return nil, nil, err
		}
		list := names
		if len(names) == 0 {
			list = slices.DeleteFunc(sn.AllNames(), func(n string) bool { return !strings.HasPrefix(n, prefix) })
		}
		for _, n := range list {
			add(sn.Explain(su, n, cascade.ExplainOptions{ShowSecrets: a.showSecrets}))
		}
		return values, missing, nil
	}
	if err := a.onlyFiles(); err != nil {
		return nil, nil, err
	}
	c, err := a.client()
	if err != nil {
		return nil, nil, err
	}
	if len(names) == 0 {
		xs, err := c.list(a, su, prefix)
		for _, x := range xs {
			add(x)
		}
		return values, nil, err
	}
	for _, n := range names {
		x, err := c.explain(a, su, n, cascade.WhatIf{}, false)
		if err != nil {
			return nil, nil, err
		}
		add(x)
	}
	return values, missing, nil
}

func (a *app) showValues(values map[string]got) error {
	if a.json() {
		return a.printJSON(values)
	}
	defer func() {
		for _, n := range slices.Sorted(maps.Keys(values)) {
			for _, w := range values[n].Warnings {
				a.note("warning: %s: %s", n, w)
			}
		}
	}()
	names := make([]string, 0, len(values))
	for n := range values {
		names = append(names, n)
	}
	slices.Sort(names)
	rows := make([][]string, 0, len(names))
	for _, n := range names {
		rows = append(rows, []string{fmt.Sprintf("%s=%s", printable(n), oneLine(values[n].Value)), "[" + values[n].Scope + "]"})
	}
	a.table("", rows)
	return nil
}
