package ldap

import (
	"sync/atomic"
	"time"
)

// Directory is one directory that is asked. All methods may be called concurrently.
type Directory struct {
	o         Options
	limits    Limits
	now       func() time.Time
	at        atomic.Int64 // the server that answered last
	names     atomic.Pointer[namesOf]
	named     atomic.Int64 // when they were asked for last
	searches  *pool
	passwords *pool
}

// New returns a Directory; nothing is connected before something is asked. The error is an
// ErrOptions.
func New(o Options) (*Directory, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	d := &Directory{o: o, limits: o.Limits.complete(), now: time.Now}
	d.searches, d.passwords = newPool(d, true), newPool(d, false)
	return d, nil
}

// Close ends the connections. Questions under way come to their end.
func (d *Directory) Close() {
	d.searches.close()
	d.passwords.close()
}

// leave has the next question begin with another server than one that failed, where there is one, and ends the connections to it that
// nobody uses: each would take the time of one question to show what is known already.
func (d *Directory) leave(s Server) {
	if len(d.o.Servers) < 2 {
		return
	}
	if at := d.at.Load(); d.o.Servers[at] == s {
		d.at.CompareAndSwap(at, (at+1)%int64(len(d.o.Servers)))
	}
	d.searches.drop(s)
	d.passwords.drop(s)
}

// Connections is how many passwords can be asked about at once.
func (d *Directory) Connections() int { return d.limits.Connections }
