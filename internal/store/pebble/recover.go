package pebble

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"sallyport/internal/store"
)

// leastTick is the shortest time between two looks of the supervisor, however soon lazy commits are synced.
const leastTick = time.Millisecond

// supervise syncs lazy commits in time, and replaces a database that failed.
func (s *pebbleStore) supervise() {
	defer close(s.done)
	tick := time.NewTicker(max(s.opts.LazyTime/2, leastTick))
	defer tick.Stop()
	for {
		select {
		case <-s.quit:
			return
		case now := <-tick.C:
			s.syncLazy(now)
		case <-s.current().guard.failed:
			if !s.recover() {
				return
			}
		}
	}
}

func (s *pebbleStore) current() *generation {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.gen
}

// recover gives the failed database up and opens the next one, as soon as the disk
// lets it. It returns false when the store is closed first.
func (s *pebbleStore) recover() bool {
	s.opts.Logger.Error("database failed, recovering", "err", s.current().guard.reason())
	s.giveUp(s.current())
	wait := s.opts.RetryFirst
	for {
		g, err := s.reopen()
		if err == nil {
			s.install(g)
			return true
		}
		s.health.tried(err, time.Now().Add(wait))
		s.opts.Logger.Error("database not recovered yet", "err", err, "again", wait)
		select {
		case <-s.quit:
			return false
		case <-time.After(wait):
		}
		wait = min(2*wait, s.opts.RetryMax)
	}
}

// giveUp takes a failed database out of use.
func (s *pebbleStore) giveUp(g *generation) {
	s.mu.Lock()
	s.gen = nil
	s.mu.Unlock()
	if !g.giveUp(s.opts.CloseTime) {
		s.opts.Logger.Warn("failed database is still read from, and stays in memory until then")
	}
}

// reopen opens the database anew and applies what is not known to be synced.
func (s *pebbleStore) reopen() (*generation, error) {
	g, err := s.openGeneration()
	if err != nil {
		return nil, err
	}
	// Nobody waits for space here: recovering is tried again as a whole.
	g.guard.setPatient(false)
	if err := errors.Join(s.replay(g), g.guard.reason()); err != nil {
		return nil, errors.Join(err, g.close())
	}
	g.guard.setPatient(true)
	return g, nil
}

// replay applies the unsynced commits that the disk has lost, in order, and syncs
// them.
func (s *pebbleStore) replay(g *generation) error {
	h, err := g.head()
	if err != nil {
		return err
	}
	last := h
	lost := s.tail.after(h.rev)
	if len(lost) > 0 && lost[0].head.rev != h.rev+1 {
		// Nothing can be done but to say it: the disk broke its word.
		s.opts.Logger.Error("the disk has lost synced commits", "have", h.rev, "next", lost[0].head.rev)
	}
	for _, c := range lost {
		b := g.db.NewBatch()
		if err := b.SetRepr(c.repr); err != nil {
			return err
		}
		if err := g.db.Apply(b, pebble.NoSync); err != nil {
			return err
		}
		last = c.head
	}
	if err := g.db.Set(headKey(), last.encode(), pebble.Sync); err != nil {
		return err
	}
	if g.guard.hasFailed() {
		return nil // it was not synced; the caller asks why
	}
	s.tail.synced(last.rev)
	s.opts.Logger.Info("database recovered", "revision", last.rev, "replayed", len(lost))
	return nil
}

func (s *pebbleStore) install(g *generation) {
	s.mu.Lock()
	s.gen = g
	s.mu.Unlock()
	s.health.recovered()
	// Commits in doubt have happened now, and their watchers were not woken.
	s.watchers.WakeAll()
}

// Close implements store.Store.
func (s *pebbleStore) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return store.ErrClosed
	}
	s.closed = true
	s.mu.Unlock()
	close(s.quit)
	<-s.done
	<-s.scrubbed
	err := s.closeGeneration(s.current())
	s.blobs.close()
	s.cache.Unref()
	return errors.Join(err, s.lock.Close())
}

// closeGeneration closes a healthy database when its last user has left. In
// trouble nobody waits for the disk: what is not synced then is lost as in a
// crash, and whoever asked for it was not told that it is durable.
func (s *pebbleStore) closeGeneration(g *generation) error {
	if g == nil {
		return fmt.Errorf("%w: closed while being recovered", store.ErrUnavailable)
	}
	if !g.retire(s.health.watch()) {
		g.guard.fail(errors.New("closed in trouble"))
		g.retire(nil)
	}
	if err := g.close(); err != nil {
		return fmt.Errorf("%w: closed in trouble: %v", store.ErrUnavailable, err)
	}
	s.mender().noteEnd()
	return nil
}
