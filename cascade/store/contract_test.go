package store_test

import (
	"testing"

	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/cascade/store/storetest"
)

// A member alone holds to the contract of all makes; it is its own other member.
func TestContract(t *testing.T) {
	storetest.Contract(t, func(t *testing.T) func(string) *storetest.Member {
		var only *storetest.Member
		return func(path string) *storetest.Member {
			if path != "" || only == nil {
				only = storetest.Open(t, store.Options{Path: path})
			}
			return only
		}
	})
}
