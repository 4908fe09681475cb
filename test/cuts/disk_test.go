package cuts

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// kind is what an operation does to the disk.
type kind string

const (
	kindWrite   kind = "write"
	kindSync    kind = "sync"
	kindSyncDir kind = "sync of a folder"
	kindCreate  kind = "create"
	kindRename  kind = "rename"
	kindRemove  kind = "remove"
	kindFolder  kind = "new folder"
)

// disk is a file system whose power may go before each operation that changes it or makes
// something durable. It tells before of each, and lets none begin while it is stopped.
type disk struct {
	vfs.FS
	before func(k kind, path string)
	stop   sync.RWMutex // operations hold it for reading
}

// do tells of an operation and has it done.
func (d *disk) do(k kind, path string, op func() error) error {
	d.before(k, path)
	d.stop.RLock()
	defer d.stop.RUnlock()
	return op()
}

// stopped calls fn while no operation is under way.
func (d *disk) stopped(fn func()) {
	d.stop.Lock()
	defer d.stop.Unlock()
	fn()
}

// opened is an operation that opens a file for writing.
func (d *disk) opened(k kind, path string, open func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	err := d.do(k, path, func() (err error) { f, err = open(); return err })
	if err != nil {
		return nil, err
	}
	return &file{f, d, path, kindSync}, nil
}

func (d *disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.opened(kindCreate, name, func() (vfs.File, error) { return d.FS.Create(name, c) })
}

func (d *disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return d.opened(kindCreate, name, func() (vfs.File, error) { return d.FS.OpenReadWrite(name, c, o...) })
}

func (d *disk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.opened(kindRename, to, func() (vfs.File, error) { return d.FS.ReuseForWrite(from, to, c) })
}

func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &file{f, d, name, kindSyncDir}, nil
}

func (d *disk) Link(from, to string) error {
	return d.do(kindCreate, to, func() error { return d.FS.Link(from, to) })
}

func (d *disk) Remove(name string) error {
	return d.do(kindRemove, name, func() error { return d.FS.Remove(name) })
}

func (d *disk) RemoveAll(name string) error {
	return d.do(kindRemove, name, func() error { return d.FS.RemoveAll(name) })
}

func (d *disk) Rename(from, to string) error {
	return d.do(kindRename, to, func() error { return d.FS.Rename(from, to) })
}

func (d *disk) MkdirAll(dir string, mode os.FileMode) error {
	if _, err := d.Stat(dir); err == nil {
		return d.FS.MkdirAll(dir, mode) // it is there
	}
	return d.do(kindFolder, dir, func() error { return d.FS.MkdirAll(dir, mode) })
}

// file is a file of disk that is written, or a folder.
type file struct {
	vfs.File
	disk *disk
	path string
	sync kind
}

func (f *file) Write(b []byte) (n int, err error) {
	err = f.disk.do(kindWrite, f.path, func() (err error) { n, err = f.File.Write(b); return err })
	return n, err
}

func (f *file) WriteAt(b []byte, at int64) (n int, err error) {
	err = f.disk.do(kindWrite, f.path, func() (err error) { n, err = f.File.WriteAt(b, at); return err })
	return n, err
}

func (f *file) Sync() error { return f.disk.do(f.sync, f.path, f.File.Sync) }

func (f *file) SyncData() error { return f.disk.do(f.sync, f.path, f.File.SyncData) }

// moment names an operation for a person.
func moment(step string, n int, k kind, path string) string {
	parts := strings.Split(path, string(filepath.Separator))
	return fmt.Sprintf("%s, before operation %d (%s, %s)", step, n, k, filepath.Join(parts[max(0, len(parts)-2):]...))
}
