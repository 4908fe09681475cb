package pebble

import (
	"io"
	"io/fs"
	"sync"

	"golang.org/x/sys/unix"
)

// plain is a file that is read with as few calls to the kernel as there can be.
type plain struct {
	name string
	mu   sync.RWMutex // held while the number of the file is given back, so that nobody reads another's
	fd   int          // -1: closed
}

func openPlain(name string) (*plain, error) {
	for {
		fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return &plain{name: name, fd: fd}, nil
	}
}

// ReadAt implements io.ReaderAt.
func (p *plain) ReadAt(b []byte, at int64) (n int, err error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for n < len(b) {
		m, err := unix.Pread(p.fd, b[n:], at+int64(n))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return n, &fs.PathError{Op: "read", Path: p.name, Err: err}
		case m == 0:
			return n, io.EOF
		}
		n += m
	}
	return n, nil
}

// Size implements fsys.Source.
func (p *plain) Size() (int64, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var st unix.Stat_t
	if err := unix.Fstat(p.fd, &st); err != nil {
		return 0, &fs.PathError{Op: "stat", Path: p.name, Err: err}
	}
	return st.Size, nil
}

// Close gives the file back.
func (p *plain) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	fd := p.fd
	if p.fd = -1; fd < 0 {
		return fs.ErrClosed
	}
	return unix.Close(fd)
}
