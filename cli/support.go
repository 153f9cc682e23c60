package cli

import (
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"
)

func (a *app) supportCmd() *cobra.Command {
	to, handshakes := "", false
	cmd := &cobra.Command{
		Use:   "support --to FILE.tar.gz [--handshakes]",
		Short: "Pack all that a server knows of itself, for whoever helps",
		Long: `Writes an archive with the status of a running server, the findings of its files,
the configuration that is in force, metrics, goroutines, the last log lines and the
build. Its README.txt says what is in each file.

Values of secrets are ***. With --handshakes the last handshakes are in it, those that
were refused and those that were not, without session ids, without values of cookies
and of headers and parameters that are not known to be harmless. Names of users,
addresses and host names are not taken out: look before you pass it on.`,
		Example: "  sluice support --to support.tar.gz",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if to == "" {
				return usage("support: name the file with --to, as in `sluice support --to support.tar.gz`; - is standard output")
			}
			if a.json() {
				return usage("support: an archive has no JSON form: leave -o out")
			}
			c, err := a.onlyServer("support")
			if err != nil {
				return err
			}
			path := "/admin/v1/support"
			if handshakes {
				path += "?handshakes=true"
			}
			res, err := c.open(a.ctx, http.MethodGet, path, nil, http.Header{})
			if err != nil {
				return err
			}
			defer res.Body.Close()
			size := int64(0)
			pack := func(w io.Writer) error {
				if size, err = io.Copy(w, res.Body); err != nil {
					return exit(exitFindings, fmt.Errorf("the archive is not whole: %w", err))
				}
				return nil
			}
			if to == "-" {
				return pack(a.stdout)
			}
			if err := wholeFile(to, pack); err != nil {
				return err
			}
			a.note("%s has %d KiB, with names and addresses but without secrets: `tar tzf %s` lists it", to, (size+1023)/1024, to)
			return nil
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "file to write; - is standard output")
	cmd.Flags().BoolVar(&handshakes, "handshakes", false, "with the last handshakes, scrubbed")
	_ = cmd.MarkFlagFilename("to", "tar.gz", "tgz")
	return cmd
}
