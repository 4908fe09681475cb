package node

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"sallyport/internal/config"
	"sallyport/internal/fact"
	"sallyport/internal/kit/diskspace"
	"sallyport/internal/store/pebble"
)

// The rules of the alarms about free space.
const (
	ruleDiskLow  = "disk-low"
	ruleDiskFree = "disk-free-again"
)

// openSpaces makes the space of the data folder's disk, and that of the mailboxes'
// where it is another.
func (n *Node) openSpaces(cfg config.Config) {
	n.spaces = []*diskspace.Space{diskspace.New(pebble.Disk(n.o.FS), cfg.Data, minFree(cfg))}
	if n.o.FS == vfs.Default && !sameDisk(cfg.Data, cfg.Maildir.Root) {
		n.spaces = append(n.spaces, diskspace.New(pebble.Disk(n.o.FS), existing(cfg.Maildir.Root), minFree(cfg)))
	}
}

// mailboxSpace is the space of the mailboxes' disk.
func (n *Node) mailboxSpace() *diskspace.Space { return n.spaces[len(n.spaces)-1] }

// sameDisk reports whether two folders are on one file system. What cannot be told is
// taken for the same: the data folder's is watched in any case.
func sameDisk(a, b string) bool {
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

// watchDisk tells, once, that the disk is low, and once that it is not any more.
func (n *Node) watchDisk(ctx context.Context) {
	var all sync.WaitGroup
	for _, s := range n.spaces {
		all.Go(func() { s.Watch(ctx, func(c diskspace.Change) { n.diskChanged(ctx, s.Dir(), c) }) })
	}
	all.Wait()
}

func (n *Node) diskChanged(ctx context.Context, dir string, c diskspace.Change) {
	f := fact.Alarm{At: n.o.Now(), Rule: ruleDiskLow, Text: "the disk is nearly full: mail waits"}
	if c.Low {
		n.log.Error("the disk is nearly full: mail waits until there is room", "path", dir, "free", c.Free, "reserve", c.Reserve)
	} else {
		f.Rule, f.Text = ruleDiskFree, "the disk has room again: mail goes on"
		n.log.Info("the disk has room again", "path", dir, "free", c.Free, "reserve", c.Reserve)
	}
	f.Evidence = []fact.Pair{
		{Name: "path", Value: dir}, {Name: "free octets", Value: strconv.FormatUint(c.Free, 10)}, {Name: "reserve", Value: strconv.FormatUint(c.Reserve, 10)},
	}
	// On a disk that is full to the last octet it is not recorded; the log has it.
	if err := n.trace.Write(ctx, f.Fact()); err != nil && ctx.Err() == nil {
		n.log.Warn("fact not recorded", "kind", string(fact.KindAlarm), "err", err)
	}
}

// diskLow reports whether a disk is low.
func (n *Node) diskLow() bool {
	for _, s := range n.spaces {
		if s.IsLow() {
			return true
		}
	}
	return false
}
