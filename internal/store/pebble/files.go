package pebble

import (
	"bytes"
	"encoding/binary"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// Files implements fsys.FS. A real disk says of most names what they stand for when it lists them, so
// that nothing is asked of each.
func (d shared) Files(dir string) ([]string, error) {
	if vfs.Root(d.fs) == vfs.Default {
		return plainFiles(dir)
	}
	names, err := d.fs.List(dir)
	if err != nil {
		return nil, err
	}
	files := names[:0]
	for _, name := range names {
		info, err := d.fs.Stat(d.fs.PathJoin(dir, name))
		if err == nil && info.Mode().IsRegular() {
			files = append(files, name)
		}
	}
	return files, nil
}

// The octets that are asked for at once: few for a folder with few names, as most that are looked at.
const (
	fewNames  = 8 << 10
	manyNames = 64 << 10
)

func plainFiles(dir string) (files []string, err error) {
	fd, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, fewNames)
	for {
		n, err := unix.Getdents(fd, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, &fs.PathError{Op: "readdirent", Path: dir, Err: err}
		case n <= 0:
			return files, nil
		}
		files = appendFiles(files, fd, buf[:n])
		if len(buf) < manyNames && n > len(buf)/2 {
			buf = make([]byte, manyNames)
		}
	}
}

func openFolder(dir string) (fd int, err error) {
	for {
		fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, &fs.PathError{Op: "open", Path: dir, Err: err}
		}
		return fd, nil
	}
}

// What stands before the name of an entry: an inode, an offset, the length of the entry and its kind.
// getdents(2), linux_dirent64.
const (
	atLength = 16
	atKind   = 18
	atName   = 19
)

// appendFiles takes the regular files out of what the kernel lists. Some disks do not say what a name
// stands for; they are asked of each.
func appendFiles(files []string, fd int, b []byte) []string {
	for len(b) > atName {
		length := int(binary.NativeEndian.Uint16(b[atLength:]))
		if length <= atName || length > len(b) {
			return files
		}
		kind, name := b[atKind], b[atName:length]
		if end := bytes.IndexByte(name, 0); end >= 0 {
			name = name[:end]
		}
		if kind == unix.DT_REG || kind == unix.DT_UNKNOWN && isRegular(fd, string(name)) {
			files = append(files, string(name))
		}
		b = b[length:]
	}
	return files
}

func isRegular(fd int, name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG
}
