package node

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi"
)

const (
	saltBytes = 16
	// SaltFile is its name in the state folder.
	SaltFile    = "cookie-salt"
	maxSaltText = 256 // of what the cluster may have
	// saltKey is the name of the cluster's salt in Redis.
	saltKey = "salt"
	// saltEvery is how often the cluster is asked for its salt, and the members
	// are compared; saltRetry until it has answered once.
	saltEvery, saltRetry = 2 * time.Second, 250 * time.Millisecond
	saltTimeout          = 2 * time.Second
)

// ownSalt is the salt of the names of the cookies of Sluice's own sessions, where
// no property sets one. A member alone makes it once and keeps it in its state
// folder; those of a cluster all have the one that was first in Redis.
type ownSalt struct {
	path   string
	text   string      // changed by followSalt and agreeSalt, under the lock
	agreed atomic.Bool // it is that of the cluster
	lock   chan struct{}
}

// read returns the salt of the state folder, which is made where there is none.
func (o *ownSalt) read() (string, error) {
	o.lock = make(chan struct{}, 1)
	b, err := os.ReadFile(o.path)
	if o.text = strings.TrimSpace(string(b)); err == nil && len(o.text) >= 2*saltBytes {
		return o.text, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	raw := make([]byte, saltBytes)
	rand.Read(raw) // never fails (crypto/rand)
	o.text = hex.EncodeToString(raw)
	return o.text, o.write()
}

func (o *ownSalt) write() error { return cascade.WriteFile(o.path, []byte(o.text+"\n"), 0o600) }

var (
	errSaltChanged = errors.New("the salt of the cluster's cookies was not known yet: try again")
	errSaltInvalid = errors.New("the key of the cluster's cookie salt in Redis holds something else: remove it, and the members make it anew")
)

// digestKey is the key of the digests of files, which members compare: what only
// they have in common.
func digestKey(salt string) []byte {
	sum := hmac.New(sha256.New, []byte(salt))
	sum.Write([]byte("digests of files")) // never fails
	return sum.Sum(nil)
}

// agreeSalt returns nil when the salt is that of the cluster. The first time that
// it is another it says so, because its caller has used the old one.
func (n *Node) agreeSalt(ctx context.Context) error {
	if n.salt.agreed.Load() {
		return nil
	}
	changed, err := n.takeSalt(ctx)
	if err == nil && changed {
		return errSaltChanged
	}
	return err
}

// takeSalt asks the cluster for its salt.
func (n *Node) takeSalt(ctx context.Context) (changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, saltTimeout)
	defer cancel()
	select {
	case n.salt.lock <- struct{}{}:
		defer func() { <-n.salt.lock }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	salt, err := n.link.Agree(ctx, saltKey, n.salt.text)
	switch {
	case err != nil:
		return false, err
	case len(salt) < 2*saltBytes || len(salt) > maxSaltText || strings.ContainsFunc(salt, func(r rune) bool { return r <= ' ' || r > '~' }):
		return false, errSaltInvalid
	}
	if changed = salt != n.salt.text; changed {
		n.salt.text = salt
		n.settings.SetSalt(salt)
		n.engine.Schema().SetDigestKey(digestKey(salt))
		n.log.Info("the cookies of own sessions have the cluster's salt")
		if err := n.salt.write(); err != nil {
			n.log.Warn("the cluster's salt is not kept in the state folder: it is asked for at the next start", "err", err)
		}
	}
	n.salt.agreed.Store(true)
	return changed, nil
}

// followSalt keeps the cluster's salt, also over a Redis that loses it, and says
// when another member has another one.
func (n *Node) followSalt(ctx context.Context) {
	var said []string
	failed := false
	for {
		_, err := n.takeSalt(ctx)
		if err != nil && ctx.Err() == nil && !failed {
			n.log.Warn("the salt of the cluster's cookies cannot be asked for: sessions wait for it", "err", err)
		}
		failed = err != nil
		members, _ := n.link.Members()
		warnings := httpapi.SaltWarnings(members, n.api.Self())
		for _, w := range warnings {
			if !slices.Contains(said, w) {
				n.log.Warn(w)
			}
		}
		said = warnings
		next := saltEvery
		if !n.salt.agreed.Load() {
			next = saltRetry
		}
		t := time.NewTimer(next)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}
