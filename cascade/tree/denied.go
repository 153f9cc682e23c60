package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"

	"github.com/seed47708276/sluice/cascade/finding"
)

// Bits of a mode by which a user may read a file.
const (
	ownerRead fs.FileMode = 0o400
	groupRead fs.FileMode = 0o040
	otherRead fs.FileMode = 0o004
)

// deniedHint says who may not read a file, whose it is, and what to do; "" where
// that is not what is wrong.
func deniedHint(path string, err error) string {
	if !errors.Is(err, fs.ErrPermission) {
		return ""
	}
	me := userName(uint32(os.Geteuid()))
	fi, err := os.Stat(path)
	if err != nil {
		return fmt.Sprintf(" to user %s, who runs Sluice, for a folder above it: let that user in", me)
	}
	return fmt.Sprintf(" to user %s, who runs Sluice: it is %s; give it a group that this user is in, and chmod g+r", me, ownership(fi))
}

// ownership is the owner, group and mode of a file: "root:staff, mode 0600".
func ownership(fi fs.FileInfo) string {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Sprintf("mode %04o", fi.Mode().Perm())
	}
	return fmt.Sprintf("%s:%s, mode %04o", userName(st.Uid), groupName(st.Gid), fi.Mode().Perm())
}

func userName(id uint32) string {
	n := strconv.FormatUint(uint64(id), 10)
	if u, err := user.LookupId(n); err == nil {
		return u.Username
	}
	return n // a container need not have a name for it
}

func groupName(id uint32) string {
	n := strconv.FormatUint(uint64(id), 10)
	if g, err := user.LookupGroupId(n); err == nil {
		return g.Name
	}
	return n
}

// UnreadableFor names the files that another user than the caller could not read,
// by owner, group and mode: root, who checks a tree, may read what the user of the
// service may not. Folders above a file and access lists are not looked at.
func (fs *Set) UnreadableFor(uid uint32) []finding.Finding {
	groups := groupsOf(uid)
	var out []finding.Finding
	for _, f := range fs.Sorted() {
		fi, err := os.Stat(f.Abs)
		if err != nil {
			continue // that has a finding of its own
		}
		st, ok := fi.Sys().(*syscall.Stat_t)
		if !ok {
			continue
		}
		need := otherRead
		switch {
		case st.Uid == uid:
			need = ownerRead
		case slices.Contains(groups, st.Gid):
			need = groupRead
		}
		if fi.Mode()&need != 0 {
			continue
		}
		out = append(out, finding.Finding{
			Path: f.Rel, Severity: finding.Error, Code: "unreadable",
			Text: fmt.Sprintf("user %s, who owns the state folder and so runs Sluice, may not read this file: it is %s; give it a group that this user is in, and chmod g+r", userName(uid), ownership(fi)),
		})
	}
	return out
}

// groupsOf lists the groups of a user; none where it has no name here.
func groupsOf(uid uint32) []uint32 {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return nil
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil
	}
	var out []uint32
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil {
			out = append(out, uint32(n))
		}
	}
	return out
}
