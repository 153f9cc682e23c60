package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi/console"
)

// examineFor is doctor for a page of the console: the same steps, asked for
// within the process and with the rights of who looks at the page.
func examineFor(ctx context.Context, api http.RoundTripper, contextID, user uint32) ([]console.Step, error) {
	a := &app{ctx: ctx, stdout: io.Discard, stderr: io.Discard}
	c := &client{where: "this server", base: socketBase, http: http.Client{Transport: api, Timeout: clientTimeout}}
	su := cascade.Subject{Context: contextID, User: user}
	d := &doctor{app: a, c: c, su: su, flags: fmt.Sprintf("-c %d -u %d", su.Context, su.User)}
	if err := d.examine(); err != nil {
		return nil, err
	}
	steps := make([]console.Step, len(d.steps))
	for i, s := range d.steps {
		steps[i] = console.Step(s)
	}
	return steps, nil
}
