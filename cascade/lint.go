package cascade

import "github.com/seed47708276/sluice/cascade/finding"

// Lint reports.
func (sn *Snapshot) Lint() []finding.Finding { return nil }
