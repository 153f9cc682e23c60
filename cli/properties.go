package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/node"
)

// documented is a declaration as `properties -o json` prints it. Every field
// is always there, so that a script need not ask.
type documented struct {
	Key         string   `json:"key"`
	Description string   `json:"description"`
	Type        string   `json:"type"`
	Unit        *string  `json:"unit"` // of default, minimum and maximum; "ms" where the default of a time span names its own
	Minimum     *int64   `json:"minimum"`
	Maximum     *int64   `json:"maximum"`
	Values      []string `json:"values"` // of an enum, or of the items of a list; empty: any
	Default     *string  `json:"default"`
	Version     string   `json:"version"`
	Reloadable  bool     `json:"reloadable"`
	Cascade     bool     `json:"configCascadeAware"`
	Scopes      []string `json:"scopes"`
	Related     []string `json:"related"`
	File        string   `json:"file"`
	Secret      bool     `json:"secret"`
}

func document(schema *cascade.Schema, d cascade.Declaration) documented {
	p := documented{
		Key: d.Name, Description: d.Doc, Type: d.Kind.String(), Values: append([]string{}, d.Enum...),
		Secret: schema.Secret(d.Name), Version: d.Since, Reloadable: !d.Restart, Cascade: !d.Server, Scopes: d.Scopes(),
		Related: append([]string{}, d.Related...), File: d.File,
	}
	unit := d.Unit
	if d.Kind == cascade.TimeSpan {
		unit = "ms"
	}
	if unit != "" {
		p.Unit = &unit
	}
	if d.Ranged() {
		p.Minimum, p.Maximum = &d.Min, &d.Max
	}
	if !d.NoDefault {
		p.Default = &d.Default
	}
	return p
}

func (a *app) propertiesCmd() *cobra.Command {
	search := ""
	cmd := &cobra.Command{
		Use:   "properties [PROPERTY...] [--search TEXT] [-o text|markdown|json|man]",
		Short: "Describe the properties that Sluice reads",
		Long: `Describes the properties that this version of Sluice reads: what each is for, its
type and range, its default, whether a change takes effect without a restart,
and whether contexts, users and context sets may have their own value. Without
names it lists all, or those whose name, description or file contains TEXT. No
server is asked and no file is read: the code itself declares them.`,
		Annotations: map[string]string{formatsOf: "text,markdown,json,man"},
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
			return completeProperties(cmd, nil, prefix)
		},
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names) > 0 && cmd.Flags().Changed("search") {
				return usage("name properties, or use --search: one of them")
			}
			list, unknown := selected(names, search)
			if len(list) > 0 || len(names) == 0 {
				if err := a.showProperties(cmd.Root().Version, list, len(names) > 0); err != nil {
					return err
				}
			}
			for _, text := range unknown {
				a.note("%s", text)
			}
			if len(unknown) > 0 {
				return silent
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&a.output, "output", "o", "text", "text, markdown, json or man")
	cmd.Flags().StringVar(&search, "search", "", "text in the name, the description or the file, in any case")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "markdown", "json", "man"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// selected picks declarations by name, or all that contain a text; unknown has
// a sentence for each thing that was asked for and is not there.
func selected(names []string, search string) (list []documented, unknown []string) {
	schema := node.Schema()
	for _, n := range names {
		d := schema.Lookup(n)
		switch {
		case d == nil:
			unknown = append(unknown, fmt.Sprintf("Sluice does not read %s%s (`sluice properties --search TEXT` finds names, `sluice get` the values of any)", n, schema.Suggest(n)))
		case !slices.ContainsFunc(list, func(p documented) bool { return p.Key == n }):
			list = append(list, document(schema, *d))
		}
	}
	if len(names) > 0 {
		return list, unknown
	}
	list = []documented{}
	for _, d := range schema.All() {
		hay := strings.ToLower(strings.Join([]string{d.Name, d.Doc, d.File}, "\n"))
		if strings.Contains(hay, strings.ToLower(search)) {
			list = append(list, document(schema, d))
		}
	}
	if len(list) == 0 {
		unknown = append(unknown, fmt.Sprintf("no property that Sluice reads has %q in its name, description or file: `sluice properties` lists all", search))
	}
	return list, unknown
}

func (a *app) showProperties(version string, list []documented, whole bool) error {
	switch a.output {
	case "json":
		return a.printJSON(map[string]any{"properties": list})
	case "markdown":
		a.printf("%s", propertiesMarkdown(list))
	case "man":
		a.printf("%s", propertiesMan(version, list))
	default:
		if whole {
			a.showWhole(list)
		} else {
			a.showList(list)
		}
	}
	return nil
}
