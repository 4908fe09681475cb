package pebble

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/kit/fsys"
)

// Disk shows the disk of a store to those who keep files of their own beside it.
func Disk(disk vfs.FS) fsys.FS { return shared{disk} }

type shared struct{ fs vfs.FS }

// sharedCategory names writes of others in the statistics of the file system.
const sharedCategory vfs.DiskWriteCategory = "files"

// Create implements fsys.FS.
func (d shared) Create(name string) (fsys.File, error) {
	f, err := d.fs.Create(name, sharedCategory)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Extend implements fsys.FS.
func (d shared) Extend(name string) (fsys.File, error) {
	f, err := d.fs.OpenReadWrite(name, sharedCategory)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &longer{f, info.Size()}, nil
}

// longer is a file that is written at its end.
type longer struct {
	vfs.File
	end int64
}

// Write writes behind what was written before.
func (l *longer) Write(b []byte) (int, error) {
	n, err := l.WriteAt(b, l.end)
	l.end += int64(n)
	return n, err
}

// Open implements fsys.FS. On a real disk it asks the kernel for no more than it must: what opens
// a table of the store looks also at how it can be read ahead, which is most of what it takes to
// read a message.
func (d shared) Open(name string) (fsys.Source, error) {
	if vfs.Root(d.fs) == vfs.Default {
		f, err := openPlain(name)
		if err != nil {
			return nil, err
		}
		return f, nil
	}
	f, err := d.fs.Open(name)
	if err != nil {
		return nil, err
	}
	return source{f}, nil
}

type source struct {
	vfs.File
}

// Size implements fsys.Source.
func (s source) Size() (int64, error) {
	info, err := s.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Link implements fsys.FS.
func (d shared) Link(from, to string) error { return d.fs.Link(from, to) }

// Touch implements fsys.FS.
func (d shared) Touch(name string, at time.Time) error {
	if vfs.Root(d.fs) != vfs.Default {
		return nil
	}
	return os.Chtimes(name, at, at)
}

// SyncDir implements fsys.FS.
func (d shared) SyncDir(dir string) error { return syncDir(d.fs, dir) }

// Rename implements fsys.FS.
func (d shared) Rename(from, to string) error { return d.fs.Rename(from, to) }

// Remove implements fsys.FS.
func (d shared) Remove(name string) error { return d.fs.Remove(name) }

// MkdirAll implements fsys.FS.
func (d shared) MkdirAll(dir string, mode fs.FileMode) error { return d.fs.MkdirAll(dir, mode) }

// List implements fsys.FS.
func (d shared) List(dir string) ([]string, error) { return d.fs.List(dir) }

// Stat implements fsys.FS.
func (d shared) Stat(name string) (fs.FileInfo, error) {
	info, err := d.fs.Stat(name)
	if err != nil {
		return nil, err
	}
	return info, nil
}

// Lstat implements fsys.FS.
func (d shared) Lstat(name string) (fs.FileInfo, error) {
	if vfs.Root(d.fs) == vfs.Default {
		return os.Lstat(name)
	}
	return d.Stat(name)
}

// Free implements fsys.FS.
func (d shared) Free(dir string) (uint64, error) {
	u, err := d.fs.GetDiskUsage(dir)
	return u.AvailBytes, err
}

// HostDisk is the file system of this machine.
func HostDisk() fsys.FS { return Disk(vfs.Default) }
