package tree

import "github.com/seed47708276/sluice/cascade/finding"

// FileReport is what is known of one file of the tree.
type FileReport struct {
	Path   string            `json:"path"`
	Digest string            `json:"digest"` // SHA-256 of the contents in force, "" where there are none
	Status string            `json:"status"`
	Errors []finding.Finding `json:"errors"` // errors and warnings
}

// The statuses of a file. All but FileOK serve the last good contents.
const (
	FileOK      = "ok"
	FileFailed  = "failed"  // unreadable, unparsable or over a limit
	FileHeld    = "held"    // shrank suspiciously; counts when it stays so
	FileMissing = "missing" // gone; counts as removed when it stays so, or when its folder is accepted
)
