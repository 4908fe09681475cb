package diskspace

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Disks are the spaces of the disks that some folders lie on, each disk once; there is
// always a first.
type Disks []*Space

// Of returns the disks of the folders, the first folder's first. Same tells whether two
// folders are on one disk; nil: all are. min octets of each stay free.
func Of(on Disk, same func(a, b string) bool, min uint64, first string, others ...string) Disks {
	if same == nil {
		same = func(string, string) bool { return true }
	}
	all := Disks{New(on, first, min)}
	for _, dir := range others {
		if !slices.ContainsFunc(all, func(s *Space) bool { return same(s.dir, dir) }) {
			all = append(all, New(on, existing(dir), min))
		}
	}
	return all
}

// Reserve replaces the octets that stay free of each.
func (d Disks) Reserve(octets uint64) {
	for _, s := range d {
		s.Reserve(octets)
	}
}

// IsLow reports whether Watch told last of any that it is low.
func (d Disks) IsLow() bool {
	for _, s := range d {
		if s.IsLow() {
			return true
		}
	}
	return false
}

// Watch calls tell with each disk's folder at each change, until ctx ends; see
// Space.Watch. It may be called for several disks at once.
func (d Disks) Watch(ctx context.Context, tell func(dir string, c Change)) {
	var all sync.WaitGroup
	for _, s := range d {
		all.Go(func() { s.Watch(ctx, func(c Change) { tell(s.dir, c) }) })
	}
	all.Wait()
}

// Usage returns the octets of the disk that holds dir: how many this user may still
// take, and how many there are.
func Usage(dir string) (free, total uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
}

// Same reports whether two folders of this host are on one file system. What cannot be
// told is taken for the same, and so is what does not exist for the folder above it.
func Same(a, b string) bool {
	var one, other unix.Stat_t
	if unix.Stat(existing(a), &one) != nil || unix.Stat(existing(b), &other) != nil {
		return true
	}
	return one.Dev == other.Dev
}

// existing is the folder, or the first above it that exists.
func existing(dir string) string {
	for {
		var s unix.Stat_t
		above := filepath.Dir(dir)
		if err := unix.Stat(dir, &s); !errors.Is(err, fs.ErrNotExist) || above == dir {
			return dir
		}
		dir = above
	}
}
