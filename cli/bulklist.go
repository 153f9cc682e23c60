package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// overridesError is what is wrong with a line of a list of overrides.
type overridesError struct {
	line int
	text string
}

func (e *overridesError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.text) }

func badNode(n *yaml.Node, format string, args ...any) error {
	return &overridesError{n.Line, fmt.Sprintf(format, args...)}
}

// parseOverrides reads JSON as it is, and YAML with texts as the directory file
// has them: verbatim, but yes, no, on and off, which are true and false.
func parseOverrides(b []byte) (list []json.RawMessage, reason string, err error) {
	if t := bytes.TrimSpace(b); len(t) > 0 && (t[0] == '[' || t[0] == '{') && json.Valid(t) {
		if t[0] == '[' {
			return list, "", json.Unmarshal(t, &list)
		}
		dec := json.NewDecoder(bytes.NewReader(t))
		dec.DisallowUnknownFields()
		var in struct {
			Reason    string            `json:"reason"`
			Overrides []json.RawMessage `json:"overrides"`
		}
		err = dec.Decode(&in)
		return in.Overrides, in.Reason, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, "", err
	}
	if len(doc.Content) != 1 {
		return nil, "", errors.New("the file is empty")
	}
	top := doc.Content[0]
	if top.Kind == yaml.MappingNode {
		var seq *yaml.Node
		for i := 0; i < len(top.Content); i += 2 {
			switch k, v := top.Content[i], top.Content[i+1]; {
			case k.Value == "reason" && v.Kind == yaml.ScalarNode:
				reason = v.Value
			case k.Value == "overrides":
				seq = v
			default:
				return nil, "", badNode(k, "%.100q is not known here: a list, or reason and overrides", k.Value)
			}
		}
		if seq == nil {
			return nil, "", badNode(top, "there is no list of overrides")
		}
		top = seq
	}
	if top.Kind != yaml.SequenceNode {
		return nil, "", badNode(top, "write a list of overrides, each beginning with \"- context: \"")
	}
	for _, n := range top.Content {
		o, err := overrideOf(n)
		if err != nil {
			return nil, "", err
		}
		list = append(list, o)
	}
	return list, reason, nil
}

func overrideOf(n *yaml.Node) (json.RawMessage, error) {
	if n.Kind != yaml.MappingNode {
		return nil, badNode(n, "an override has context, user, property and value")
	}
	out := map[string]any{}
	for i := 0; i < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if v.Kind != yaml.ScalarNode {
			return nil, badNode(v, "%s is a plain value: no list, no object and no alias", k.Value)
		}
		if _, twice := out[k.Value]; twice {
			return nil, badNode(k, "%s stands twice", k.Value)
		}
		switch k.Value {
		case "context", "user":
			var id int64
			if err := v.Decode(&id); err != nil || v.Tag != "!!int" {
				return nil, badNode(v, "%s is a number", k.Value)
			}
			out[k.Value] = id
		case "protected", "remove":
			switch strings.ToLower(scalarText(v)) {
			case "true":
				out[k.Value] = true
			case "false":
				out[k.Value] = false
			default:
				return nil, badNode(v, "%s is true or false", k.Value)
			}
		case "property", "value", "reason", "expires", "final":
			if v.Tag == "!!null" {
				return nil, badNode(v, "%s is empty: write \"\" for an empty text, remove: true to remove the override", k.Value)
			}
			out[k.Value] = scalarText(v)
		default:
			return nil, badNode(k, "%.100q is not known: use context, user, property, value, remove, reason, expires, final and protected", k.Value)
		}
	}
	return json.Marshal(out)
}

func scalarText(n *yaml.Node) string {
	if n.Style == 0 {
		switch low := strings.ToLower(n.Value); {
		case slices.Contains([]string{"yes", "on"}, low):
			return "true"
		case slices.Contains([]string{"no", "off"}, low):
			return "false"
		}
	}
	return n.Value
}
