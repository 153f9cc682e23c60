package cli

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/tagexpr"
)

func (a *app) tagsCmd() *cobra.Command {
	var sf subjectFlags
	var expression, with string
	cmd := &cobra.Command{
		Use:   "tags --context C [--user U] | --expression EXPR --with a,b",
		Short: "List the tags of a user, or try an expression",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("expression") {
				if cmd.Flags().Changed("context") || cmd.Flags().Changed("user") {
					return usage("--expression is tried with the tags of --with: leave --context and --user out, or list their tags first")
				}
				return a.tryExpression(expression, splitComma(with))
			}
			if cmd.Flags().Changed("with") {
				return usage("--with gives the tags for an --expression")
			}
			if !cmd.Flags().Changed("context") {
				return usage("name a --context, or an --expression")
			}
			su, err := sf.subject(a, cmd)
			if err != nil {
				return err
			}
			return a.listTags(su)
		},
	}
	sf.add(cmd)
	cmd.Flags().StringVar(&expression, "expression", "", "tag expression to try, such as 'a & (b | !c)'")
	cmd.Flags().StringVar(&with, "with", "", "tags that are set, comma separated")
	return cmd
}

func (a *app) listTags(su cascade.Subject) error {
	var tags []cascade.Tag
	if len(a.etc) > 0 {
		sn, err := a.offline()
		if err != nil {
			return err
		}
		tags = sn.Tags(su)
	} else {
		if err := a.onlyFiles(); err != nil {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		var answer struct {
			Tags []cascade.Tag `json:"tags"`
		}
		if _, err := c.call(a, http.MethodGet, fmt.Sprintf("/admin/v1/tags?context=%d&user=%d", su.Context, su.User), nil, &answer); err != nil {
			return err
		}
		tags = answer.Tags
	}
	if a.json() {
		return a.printJSON(struct {
			Tags []cascade.Tag `json:"tags"`
		}{tags})
	}
	rows := make([][]string, 0, len(tags))
	for _, t := range tags {
		rows = append(rows, []string{printable(t.Tag), printable(t.From)})
	}
	a.table("", rows)
	return nil
}

func (a *app) tryExpression(text string, with []string) error {
	e, perr := tagexpr.Parse(text)
	if perr != nil {
		if text != "" && !strings.ContainsFunc(text, hidden) {
			fmt.Fprintf(a.stderr, "%s\n%s^\n", text, strings.Repeat(" ", max(perr.Col-1, 0)))
		}
		return exit(exitFindings, fmt.Errorf("column %d: %s", perr.Col, perr.Text))
	}
	has := func(tag string) bool { return slices.Contains(with, tag) }
	match, because, amb := e.Match(has), e.Because(has), e.Ambiguity()
	if a.json() {
		out := struct {
			Match     bool              `json:"match"`
			Because   string            `json:"because"`
			Reading   string            `json:"reading"`   // what counts
			Ambiguity map[string]string `json:"ambiguity"` // null where there is none
		}{match, because, e.String(), nil}
		if amb != nil {
			out.Ambiguity = map[string]string{"standard": amb.Standard, "existing": amb.Existing}
		}
		return a.printJSON(out)
	}
	answer := "does not match"
	if match {
		answer = "matches"
	}
	a.printf("%s: %s, because %s\n", e, answer, because)
	if amb != nil {
		a.printf("ambiguous: the existing system reads %s, usual precedence is %s; the first counts until you write brackets\n", amb.Existing, amb.Standard)
	}
	return nil
}
