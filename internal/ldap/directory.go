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

// Connections is how many passwords can be asked about at once.
func (d *Directory) Connections() int { return d.limits.Connections }
