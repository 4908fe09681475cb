package diskspace

import (
	"context"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// What does not exist yet lies where the first folder above it does.
func TestEachDiskOnce(t *testing.T) {
	dir := t.TempDir()
	if all := Of(&memory{}, Same, 1000, dir, filepath.Join(dir, "not", "yet")); len(all) != 1 {
		t.Errorf("%d disks", len(all))
	}
	if all := Of(&memory{}, nil, 1000, dir, "/proc"); len(all) != 1 {
		t.Errorf("%d disks, of which nothing is known", len(all))
	}
	var proc, own syscall.Stat_t
	if syscall.Stat("/proc", &proc) != nil || syscall.Stat(dir, &own) != nil || proc.Dev == own.Dev {
		t.Skip("this host has one file system")
	}
	all := Of(&memory{}, Same, 1000, dir, "/proc/nothing/here", "/proc")
	if len(all) != 2 || all[1].Dir() != "/proc" {
		t.Fatalf("%d disks", len(all))
	}
	all.Reserve(7)
	if all[0].Reserved() != 7 || all[1].Reserved() != 7 {
		t.Error("the reserve is that of one disk alone")
	}
}

func TestUsage(t *testing.T) {
	if free, total, err := Usage(t.TempDir()); err != nil || total == 0 || free > total {
		t.Errorf("%d of %d, %v", free, total, err)
	}
	if free, total, err := Usage("/nowhere"); err == nil || free != 0 || total != 0 {
		t.Errorf("%d of %d, %v", free, total, err)
	}
}

// Each disk is told of by its folder, and one that is low makes them low.
func TestDisksAreWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other := new(memory), new(memory)
		free(one, 1000)
		free(other, 0)
		all := Disks{New(one, "/a", 100), New(other, "/b", 100)}
		ctx, cancel := context.WithCancel(t.Context())
		told, ended := make(chan string, 10), make(chan struct{})
		go func() {
			defer close(ended)
			all.Watch(ctx, func(dir string, c Change) {
				if c.Low {
					told <- dir
				}
			})
		}()
		time.Sleep(3 * looked)
		if dir := <-told; dir != "/b" || len(told) != 0 || !all.IsLow() {
			t.Errorf("told of %s, low: %v", dir, all.IsLow())
		}
		free(other, 1000)
		time.Sleep(3 * looked)
		if all.IsLow() {
			t.Error("it stays low")
		}
		cancel()
		<-ended
	})
}
