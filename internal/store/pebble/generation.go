package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"sallyport/internal/store"
)

// generation is one opening of the database. It ends with Close, or when its disk
// fails; the store then opens the next one.
type generation struct {
	db    *pebble.DB
	guard *guard

	queue   chan *commit // to be applied, in this order
	syncing chan *commit // applied, and to be synced

	// order is held while a commit is checked, numbered and applied in memory.
	order sync.Mutex

	mu      sync.Mutex
	users   int  // readers and commits inside db
	retired bool // nobody enters any more
	drained chan struct{}
}

// mostTries bounds how often a database is opened in which more damage is found each time.
const mostTries = 20

// openGeneration opens the database in the store's folder, once what is damaged of it was put right. Where it turns
// out to be damaged as it opens, that is put right too.
func (s *pebbleStore) openGeneration() (g *generation, err error) {
	for range mostTries {
		if g, err = s.openOnce(); err == nil || !s.suspects() {
			return g, err
		}
	}
	return nil, err
}

func (s *pebbleStore) openOnce() (*generation, error) {
	m := s.mender()
	hit, err := s.mend(m)
	if err != nil {
		return nil, err
	}
	g, err := s.openMended()
	if err != nil {
		return nil, err
	}
	err = s.cutOut(g, m, hit)
	if err == nil {
		_, err = g.head()
	}
	// What a database does that has failed comes to nothing.
	if err = errors.Join(err, g.guard.reason()); err != nil {
		s.notCut(hit)
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

func (s *pebbleStore) openMended() (*generation, error) {
	beside := s.mender().guards()
	g := &generation{
		guard: newGuard(s.opts.FS, s.health, beside), drained: make(chan struct{}),
		queue: make(chan *commit, queued), syncing: make(chan *commit, queued),
	}
	g.guard.keeper = s
	l := dbLogger{log: s.opts.Logger, guard: g.guard, damaged: s.damaged, failed: s.damagedIn}
	db, err := openPebble(beside.db, s.opts.pebbleOptions(g.guard, l, s.cache))
	if err != nil {
		return nil, errors.Join(g.guard.reason(), err)
	}
	g.db = db
	g.guard.setPatient(true)
	if err := g.guard.reason(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	go s.orderAll(g)
	go s.syncAll(g)
	return g, nil
}

// queued is how many commits wait at most to be applied, and as many to be synced.
const queued = 256

// openPebble turns the panics by which Pebble answers some errors of the disk while
// it opens, after having cleaned up, into errors.
func openPebble(dir string, o *pebble.Options) (db *pebble.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("the database does not open: %v", r)
		}
	}()
	return pebble.Open(dir, o)
}

// enter lets a reader or a commit use the database until leave.
func (g *generation) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.retired {
		return false
	}
	g.users++
	return true
}

func (g *generation) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.users--
	if g.retired && g.users == 0 {
		close(g.drained)
	}
}

// retire keeps new users out and waits until those inside are gone, or until stop
// is closed. It reports whether they are gone.
func (g *generation) retire(stop <-chan struct{}) bool {
	g.mu.Lock()
	if !g.retired {
		g.retired = true
		if g.users == 0 {
			close(g.drained)
		}
	}
	g.mu.Unlock()
	select {
	case <-g.drained:
		return true
	case <-stop:
		return false
	}
}

// close closes a database without users. It returns why, if what was applied may
// not be synced.
func (g *generation) close() error {
	g.guard.setPatient(false)
	close(g.queue)
	err := g.db.Close()
	return errors.Join(g.guard.reason(), err)
}

// giveUp closes a failed database when its last user has left, and waits for that
// as long as patience lasts. Nothing that it does reaches the disk.
func (g *generation) giveUp(patience time.Duration) bool {
	// Whoever is ordering a commit now adds it to the tail in time; whoever comes
	// later finds that the database has failed.
	g.order.Lock()
	g.order.Unlock() //nolint:staticcheck // a barrier
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		g.retire(nil)
		close(g.queue)
		// Its error is that of the disk, which is known.
		_ = g.db.Close()
	}()
	select {
	case <-closed:
		return true
	case <-time.After(patience):
		return false
	}
}

// The store's own keys begin with store.ReservedPrefix.
const (
	spaceFact = 'f' // 0x00 f SEQ: a fact
	spaceHead = 'h' // 0x00 h: the last revision and the last fact's number
)

// dbDir and blobDir are the folders in the store's folder.
const (
	dbDir    = "db"
	blobDir  = "blobs"
	lockFile = "lock"
)

func headKey() []byte { return []byte{store.ReservedPrefix, spaceHead} }

func factKey(seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{store.ReservedPrefix, spaceFact}, seq)
}

// head is the store's place in its history. It is written with every commit.
type head struct {
	rev  uint64
	fact uint64
}

func (h head) encode() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, h.rev), h.fact)
}

// head reads the last commit's head.
func (g *generation) head() (head, error) {
	v, closer, err := g.db.Get(headKey())
	if errors.Is(err, pebble.ErrNotFound) {
		return head{}, nil
	}
	if err != nil {
		return head{}, err
	}
	defer closer.Close()
	if len(v) != 16 {
		return head{}, fmt.Errorf("the head has %d octets", len(v))
	}
	return decodeHead(v), nil
}

func decodeHead(v []byte) head {
	return head{rev: binary.BigEndian.Uint64(v), fact: binary.BigEndian.Uint64(v[8:])}
}
