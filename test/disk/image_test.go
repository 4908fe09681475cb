package disk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What the image is. Its inode tables and its journal lie in front, and all that files hold lies
// behind: so a device that ends behind the journal fails what files hold and leaves the file system
// whole.
const (
	imageOctets = 256 << 20
	hostOctets  = 300 << 20 // of the tmpfs that the image lies on
	inodes      = 6000
	journal     = "size=16,location=1024" // MiB, and block
	endsAt      = 24 << 20
	lowOctets   = 3 << 20 // of blocks in front of the journal
)

// image is an ext4 in a file on a tmpfs, mounted by a loop device.
type image struct {
	t    *testing.T
	host string // the tmpfs
	file string
	dir  string // where it is mounted
	thin *thin  // what lies over it, if anything does
	top  string // where that is mounted
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// newImage makes one, and mounts it at a folder; or beside it, and something thin over it there.
func newImage(t *testing.T, dir string, isThin bool) *image {
	t.Helper()
	i := &image{t: t, host: t.TempDir(), dir: dir}
	if isThin {
		i.thin, i.top, i.dir = &thin{}, dir, dir+".below"
		must(t, os.MkdirAll(i.top, 0o700))
	}
	dir = i.dir
	i.file = filepath.Join(i.host, "image")
	must(t, syscall.Mount("tmpfs", i.host, "tmpfs", 0, fmt.Sprintf("size=%d", hostOctets)))
	t.Cleanup(func() { must(t, syscall.Unmount(i.host, syscall.MNT_DETACH)) })
	run(t, "truncate", "--size", fmt.Sprint(imageOctets), i.file+".sparse")
	run(t, "mkfs.ext4", "-q", "-m", "0", "-b", "4096", "-G", "16", "-N", fmt.Sprint(inodes), "-J", journal,
		"-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0", i.file+".sparse")
	run(t, "cp", "--sparse=never", i.file+".sparse", i.file) // every block of the journal is there, whatever the host has left
	must(t, os.Remove(i.file+".sparse"))
	must(t, os.MkdirAll(dir, 0o700))
	i.mount()
	must(t, errors.Join(os.Remove(filepath.Join(dir, "lost+found")), os.Chmod(dir, 0o700)))
	i.allocate("low", lowOctets)
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	if i.thin != nil {
		must(t, os.Remove(filepath.Join(dir, "low")))
		i.thin.lie(t, i.dir, i.top)
		t.Cleanup(func() { _ = i.thin.gone() })
	}
	return i
}

func (i *image) mount() {
	i.t.Helper()
	if out, err := exec.Command("mount", "-o", "loop,errors=remount-ro", i.file, i.dir).CombinedOutput(); err != nil {
		i.t.Skipf("nothing can be mounted here: %v: %s", err, out)
	}
}

// again takes the file system out of the kernel, with all that it remembers of it, repairs it as a
// boot does, and brings it back: what is there now is what the disk holds.
func (i *image) again() {
	i.t.Helper()
	if i.thin != nil {
		i.t.Logf("%d syncs answered ENOSPC", i.thin.failed.Swap(0))
		must(i.t, i.thin.gone())
		defer i.thin.lie(i.t, i.dir, i.top)
	}
	must(i.t, syscall.Unmount(i.dir, 0))
	for begun := time.Now(); run(i.t, "losetup", "--associated", i.file) != ""; time.Sleep(20 * time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			i.t.Fatal("the loop device stays")
		}
	}
	out, err := exec.Command("e2fsck", "-p", i.file).CombinedOutput()
	if e := new(exec.ExitError); err != nil && (!errors.As(err, &e) || e.ExitCode() > 1) {
		i.t.Fatalf("e2fsck: %v\n%s", err, out)
	}
	i.mount()
}

func (i *image) device() string {
	i.t.Helper()
	return strings.TrimSpace(run(i.t, "findmnt", "--noheadings", "--first-only", "--output", "SOURCE", "--target", i.dir))
}

// allocate takes octets of the file system for a file, and reports whether they were there.
func (i *image) allocate(name string, octets int64) bool {
	i.t.Helper()
	f, err := os.OpenFile(filepath.Join(i.dir, name), os.O_CREATE|os.O_WRONLY, 0o600)
	if errors.Is(err, syscall.ENOSPC) {
		return false
	}
	must(i.t, err)
	defer f.Close()
	end, err := f.Seek(0, 2)
	must(i.t, err)
	err = syscall.Fallocate(int(f.Fd()), 0, end, octets)
	if errors.Is(err, syscall.ENOSPC) {
		return false
	}
	must(i.t, err)
	return true
}

// fill leaves no octet.
func (i *image) fill() {
	for octets := int64(64 << 20); octets >= 4096; {
		if !i.allocate("filler", octets) {
			octets /= 4
		}
	}
}

func (i *image) free() { must(i.t, os.Remove(filepath.Join(i.dir, "filler"))) }

// fillHost leaves nothing of what a thin disk lies on.
func (i *image) fillHost() { i.thin.full.Store(true) }
func (i *image) freeHost() { i.thin.full.Store(false) }

// fillInodes leaves no inode, and many octets.
func (i *image) fillInodes() {
	must(i.t, os.Mkdir(filepath.Join(i.dir, "many"), 0o700))
	for {
		f, err := os.CreateTemp(filepath.Join(i.dir, "many"), "")
		if errors.Is(err, syscall.ENOSPC) {
			return
		}
		must(i.t, err)
		must(i.t, f.Close())
	}
}

func (i *image) freeInodes() { must(i.t, os.RemoveAll(filepath.Join(i.dir, "many"))) }

// lay lays the folder over itself, read-only: what is opened from now on is, and what was open
// before is not. To remount the file system itself is refused by the kernel as long as a program
// writes to it.
func (i *image) lay() {
	if err := syscall.Mount("", i.dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); !errors.Is(err, syscall.EBUSY) {
		i.t.Errorf("a file system that is written to is made read-only: %v", err)
	}
	must(i.t, syscall.Mount(i.dir, i.dir, "", syscall.MS_BIND, ""))
	must(i.t, syscall.Mount("", i.dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""))
}

func (i *image) lift() { must(i.t, syscall.Unmount(i.dir, syscall.MNT_DETACH)) }

// resize has the device end there; 0: where its file does.
func (i *image) resize(octets uint64) {
	i.t.Helper()
	f, err := os.OpenFile(i.device(), os.O_RDONLY, 0)
	must(i.t, err)
	defer f.Close()
	info, err := unix.IoctlLoopGetStatus64(int(f.Fd()))
	must(i.t, err)
	info.Sizelimit = octets
	must(i.t, unix.IoctlLoopSetStatus64(int(f.Fd()), info))
}

func (i *image) shrink() { i.resize(endsAt) }
func (i *image) grow()   { i.resize(0) }

// meetError has ext4 find an error in itself: it ends its journal and takes no more writes until it
// is mounted anew.
func (i *image) meetError() {
	must(i.t, os.WriteFile(filepath.Join("/sys/fs/ext4", filepath.Base(i.device()), "trigger_fs_error"), []byte("a test\n"), 0o200))
}
