package maildir

import (
	"sync"

	"sallyport/internal/kit/fsys"
)

// syncer syncs directories for many deliveries at once: whoever asks while a sync
// of the directory runs waits for the next one, which serves all that asked
// meanwhile. A sync that began before the question never answers it, because the
// entry in question may not have been part of it.
type syncer struct {
	fs   fsys.FS
	mu   sync.Mutex
	dirs map[string]*dirSync // only directories with a sync running
}

type dirSync struct {
	next *batch // those who wait for the sync after the running one; nil when nobody does
}

type batch struct {
	done chan struct{}
	err  error
}

func newSyncer(fs fsys.FS) *syncer {
	return &syncer{fs: fs, dirs: map[string]*dirSync{}}
}

// sync returns when everything that was in dir at the time of the call is durable.
func (s *syncer) sync(dir string) error {
	s.mu.Lock()
	d, running := s.dirs[dir]
	if running {
		if d.next == nil {
			d.next = &batch{done: make(chan struct{})}
		}
		b := d.next
		s.mu.Unlock()
		<-b.done
		return b.err
	}
	d = &dirSync{}
	s.dirs[dir] = d
	s.mu.Unlock()
	err := s.once(dir)
	s.pass(dir, d)
	return err
}

// pass starts the sync for those who waited, or forgets the directory. The next
// sync runs in a goroutine of its own, so that the delivery that led this one is
// not held up by the others.
func (s *syncer) pass(dir string, d *dirSync) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := d.next
	d.next = nil
	if b == nil {
		delete(s.dirs, dir)
		return
	}
	go func() {
		b.err = s.once(dir)
		close(b.done)
		s.pass(dir, d)
	}()
}

func (s *syncer) once(dir string) error {
	return s.fs.SyncDir(dir)
}
