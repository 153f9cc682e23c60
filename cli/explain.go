package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
)

func (a *app) explainCmd() *cobra.Command {
	var sf subjectFlags
	var tags, permissions string
	var verbose bool
	cmd := &cobra.Command{
		Use:               "explain PROPERTY [--context C [--user U]] [--tags a,b] [--permissions WebMail,...]",
		Short:             "Say what a property is for a user, and why",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeProperties,
		RunE: func(cmd *cobra.Command, args []string) error {
			su, err := sf.subject(a, cmd)
			if err != nil {
				return err
			}
			w := cascade.WhatIf{Tags: splitComma(tags), Permissions: splitComma(permissions)}
			x, err := a.explanation(su, args[0], w, verbose)
			if err != nil {
				return err
			}
			if a.json() {
				if err := a.printJSON(x); err != nil {
					return err
				}
			} else {
				a.showExplanation(&x)
			}
			if x.Scope == nil {
				return silent
			}
			return nil
		},
	}
	sf.add(cmd)
	cmd.Flags().StringVar(&tags, "tags", "", "what if: more tags, comma separated")
	cmd.Flags().StringVar(&permissions, "permissions", "", "what if: more permissions, comma separated")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "list every context set that defines the property, and why it matches or not")
	return cmd
}

func (a *app) explanation(su cascade.Subject, name string, w cascade.WhatIf, verbose bool) (cascade.Explanation, error) {
	if len(a.etc) > 0 {
		sn, err := a.offline()
		if err != nil {
			return cascade.Explanation{}, err
		}
		return sn.Suppose(su, w).Explain(su, name, cascade.ExplainOptions{Verbose: verbose, ShowSecrets: a.showSecrets}), nil
	}
	if err := a.onlyFiles(); err != nil {
		return cascade.Explanation{}, err
	}
	c, err := a.client()
	if err != nil {
		return cascade.Explanation{}, err
	}
	return c.explain(a, su, name, w, verbose)
}

func (a *app) showExplanation(x *cascade.Explanation) {
	a.printf("%s\n\n", printable(x.Summary))
	rows := [][]string{{"SCOPE", "STATUS", "VALUE", "WHERE"}}
	for _, st := range x.Steps {
		value := ""
		if st.Value != nil {
			value = oneLine(*st.Value)
			if st.Invalid {
				value += " (does not fit)"
			}
		}
		rows = append(rows, []string{st.Scope, st.Status, value, where(st.Origin)})
	}
	if x.Default != nil {
		status := "shadowed"
		if x.Scope != nil && *x.Scope == cascade.ScopeDefault {
			status = "wins"
		}
		rows = append(rows, []string{"default", status, oneLine(*x.Default), ""})
	}
	a.table("  ", rows)
	if x.Final != nil {
		a.printf("\nfinal: %s, by %s\n", x.Final.Scope, where(x.Final.Origin))
	}
	if len(x.Tags) > 0 {
		list := make([]string, len(x.Tags))
		for i, t := range x.Tags {
			list[i] = printable(fmt.Sprintf("%s (%s)", t.Tag, t.From))
		}
		a.printf("\ntags: %s\n", strings.Join(list, ", "))
	}
	for _, r := range x.Rollouts {
		a.printf("\nroll-out: %s\n", printable(r.Text))
	}
	if i := slices.IndexFunc(x.Steps, func(s cascade.Step) bool { return len(s.Sets) > 0 }); i >= 0 {
		a.printf("\ncontext sets that define it, in the order of look-up:\n")
		for _, s := range x.Steps[i].Sets {
			mark := "no "
			if s.Matched {
				mark = "yes"
			}
			a.printf("%s\n", printable(fmt.Sprintf("  %s  %s (%s:%d)  %s: %s", mark, s.Set, s.File, s.Line, s.Expression, s.Because)))
		}
	}
	for _, w := range x.Warnings {
		a.printf("\nwarning: %s\n", printable(w))
	}
}

func where(o *cascade.Origin) string {
	if o == nil {
		return ""
	}
	s := o.String()
	if o.Set != "" {
		s += " " + o.Set
	}
	return printable(s)
}
