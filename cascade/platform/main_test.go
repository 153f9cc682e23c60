package platform

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed47708276/sluice/cascade/sqlpool/sqltest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	sqltest.Cleanup()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}
