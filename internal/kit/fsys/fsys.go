// Package fsys is the small part of a file system that mailboxes need, so that tests can
// substitute a disk that fails or that loses what was not synced, and so that only the store knows
// whose file system that is.
package fsys

import (
	"io"
	"io/fs"
	"time"
)

// FS is a file system. Names are paths of the host. Its errors say what os says: a
// name that leads to nothing is fs.ErrNotExist, a full disk syscall.ENOSPC.
// It is safe for concurrent use.
type FS interface {
	// Create makes a file, in place of one that has the name.
	Create(name string) (File, error)
	// Extend opens a file to write behind what it holds, and makes one that is missing.
	Extend(name string) (File, error)
	// Open opens a file to read it.
	Open(name string) (Source, error)
	// Link gives a file one more name; a name that is taken is fs.ErrExist.
	Link(from, to string) error
	// Touch says when a file was changed last. A disk that keeps no times ignores it.
	Touch(name string, at time.Time) error
	// SyncDir makes the names in a folder durable.
	SyncDir(dir string) error
	// Rename gives a file another name, in place of a file that has it.
	Rename(from, to string) error
	// Remove removes a file, or a folder with nothing in it.
	Remove(name string) error
	// MkdirAll makes a folder and what is missing above it.
	MkdirAll(dir string, mode fs.FileMode) error
	// List returns the names in a folder.
	List(dir string) ([]string, error)
	// Files returns the names of the regular files in a folder: no symbolic links.
	Files(dir string) ([]string, error)
	// Stat describes a file or a folder.
	Stat(name string) (fs.FileInfo, error)
	// Lstat describes what has the name itself, a symbolic link too.
	Lstat(name string) (fs.FileInfo, error)
	// Free returns the octets that may still be written to the disk of a folder.
	Free(dir string) (uint64, error)
}

// File is a file that is being written. One goroutine at a time uses it. Write may
// scribble over the octets that it is given.
type File interface {
	io.Writer
	// Sync makes what was written durable; the name is the folder's.
	Sync() error
	Close() error
}

// Source is a file that is read. It is safe for concurrent use.
type Source interface {
	io.ReaderAt
	io.Closer
	// Size returns how many octets the file has.
	Size() (int64, error)
}
