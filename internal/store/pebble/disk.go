package pebble

import (
	"io/fs"

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

// Free implements fsys.FS.
func (d shared) Free(dir string) (uint64, error) {
	u, err := d.fs.GetDiskUsage(dir)
	return u.AvailBytes, err
}
