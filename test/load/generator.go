package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Security says how a connection is protected.
type Security uint8

const (
	// Clear sends in clear.
	Clear Security = iota
	// StartTLS upgrades by STARTTLS. RFC 3207.
	StartTLS
	// Implicit does the handshake before the greeting. RFC 8314.
	Implicit
)

// Options describe a run of the generator.
type Options struct {
	Addr        func() string // where to connect; asked for every connection
	Connections int           // at the same time; at least 1
	Messages    int           // in all
	Size        int           // octets of a message, header included; raised to what the header needs
	From        string
	To          []string // recipients; messages take them in turn
	Each        int      // recipients of one message; 0: one
	User        string   // "": do not sign in
	Password    string
	Security    Security
	TLS         *tls.Config // nil only with Clear
	PerConn     int         // messages per connection; 0: as many as it takes
	PerSecond   int         // messages begun in a second, over all connections; 0: as many as go
	Pipelining  bool        // MAIL, RCPT and DATA in one write
	Prefix      string      // of the identifiers; must be unique among runs
	Text        string      // the message as it is, again and again; "": one is made for each
	Patience    time.Duration
	// Acked, if not nil, receives each acknowledged identifier and "\n" in one
	// Write, at once.
	Acked io.Writer
	// Progress, if not nil, is called with the number of acknowledged messages
	// after each; it must be quick and safe to call from several goroutines.
	Progress func(acknowledged int)
}

// Report is what a run amounted to.
type Report struct {
	Acknowledged int      `json:"acknowledged"`
	Refused      int      `json:"refused"`   // 5xx: not sent again
	Deferred     int      `json:"deferred"`  // 4xx: sent again
	Broken       int      `json:"broken"`    // connections lost or refused
	Sessions     int      `json:"sessions"`  // connections that got as far as EHLO
	Seconds      float64  `json:"seconds"`   // from the first connect to the last reply
	PerSecond    float64  `json:"persecond"` // acknowledged messages
	P50          float64  `json:"p50ms"`     // from MAIL to the last reply
	P99          float64  `json:"p99ms"`
	Max          float64  `json:"maxms"`
	LastError    string   `json:"lasterror,omitempty"`
	Acks         []string `json:"-"` // identifiers, in no order
	// Again counts how often an identifier was sent without an answer: the server may have it for
	// each of these times, too.
	Again map[string]int `json:"-"`
}

// retryPause is the wait after a connection was lost or refused.
const retryPause = 20 * time.Millisecond

var errOptions = errors.New("load: bad options")

func (o Options) check() error {
	switch {
	case o.Addr == nil:
		return fmt.Errorf("%w: no address", errOptions)
	case o.Connections < 1 || o.Messages < 1:
		return fmt.Errorf("%w: needs connections and messages", errOptions)
	case len(o.To) == 0 || o.Prefix == "":
		return fmt.Errorf("%w: needs a recipient and a prefix", errOptions)
	case o.Security != Clear && o.TLS == nil:
		return fmt.Errorf("%w: needs a TLS configuration", errOptions)
	}
	return nil
}

// Run sends o.Messages messages over o.Connections connections. A message whose
// connection breaks is sent again with the same identifier on a new one, until no
// message at all has been acknowledged for o.Patience (0: never again); then Run
// returns an error together with the report so far.
func Run(ctx context.Context, o Options) (Report, error) {
	if err := o.check(); err != nil {
		return Report{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &runner{o: o, cancel: cancel, started: time.Now()}
	r.touched.Store(time.Now().UnixNano())
	var wg sync.WaitGroup
	for range min(o.Connections, o.Messages) {
		wg.Go(func() { r.work(ctx) })
	}
	wg.Wait()
	rep := r.report()
	if err := context.Cause(ctx); err != nil {
		return rep, fmt.Errorf("load: stopped after %d messages: %w (last error: %s)", rep.Acknowledged, err, rep.LastError)
	}
	return rep, nil
}

type runner struct {
	o       Options
	cancel  context.CancelCauseFunc
	started time.Time
	next    atomic.Int64 // index of the next message
	touched atomic.Int64 // time of the last acknowledgement, in Unix nanoseconds
	ended   time.Time

	mu        sync.Mutex
	rep       Report
	latencies []time.Duration
}

// errImpatient ends a run whose server does not come back.
var errImpatient = errors.New("the server does not come back")

// work sends messages, one connection after another.
func (r *runner) work(ctx context.Context) {
	pending := int64(-1) // a message whose connection broke
	for ctx.Err() == nil {
		if pending < 0 {
			if pending = r.take(); pending < 0 {
				return
			}
		}
		var err error
		pending, err = r.session(ctx, pending)
		if err == nil {
			continue
		}
		r.broken(err)
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
}

// take returns the index of a message that nobody has sent, when its time has come,
// or -1.
func (r *runner) take() int64 {
	i := r.next.Add(1) - 1
	if i >= int64(r.o.Messages) {
		return -1
	}
	if r.o.PerSecond > 0 {
		time.Sleep(time.Until(r.started.Add(time.Duration(i) * time.Second / time.Duration(r.o.PerSecond))))
	}
	return i
}

// recipients are those of a message, the next ones in turn.
func (o Options) recipients(message int) []string {
	to := make([]string, max(o.Each, 1))
	for i := range to {
		to[i] = o.To[(message*len(to)+i)%len(o.To)]
	}
	return to
}

// session sends message first and more over one connection. It returns the message
// that is still to be sent, or -1.
func (r *runner) session(ctx context.Context, first int64) (pending int64, err error) {
	c, err := connect(ctx, r.o)
	if err != nil {
		return first, err
	}
	defer c.close()
	r.add(func(rep *Report) { rep.Sessions++ })
	pending = first
	for n := 0; r.o.PerConn == 0 || n < r.o.PerConn; n++ {
		if pending < 0 {
			if pending = r.take(); pending < 0 {
				break
			}
		}
		if ctx.Err() != nil {
			return pending, nil
		}
		begun := time.Now()
		code, err := c.send(r.o, r.id(pending), r.o.recipients(int(pending)))
		if err != nil {
			r.add(func(rep *Report) {
				if rep.Again == nil {
					rep.Again = map[string]int{}
				}
				rep.Again[r.id(pending)]++
			})
			return pending, err
		}
		if r.settle(pending, code, time.Since(begun)) {
			pending = -1
		}
	}
	c.quit()
	return pending, nil
}

func (r *runner) id(i int64) string { return fmt.Sprintf("%s-%d", r.o.Prefix, i) }

// settle notes the reply to a message; false means that it is to be sent again.
func (r *runner) settle(i int64, code int, took time.Duration) bool {
	id := r.id(i)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch code / 100 {
	case 2:
		r.rep.Acknowledged++
		r.rep.Acks = append(r.rep.Acks, id)
		r.latencies = append(r.latencies, took)
		r.touched.Store(time.Now().UnixNano())
		r.ended = time.Now()
		if r.o.Acked != nil {
			if _, err := io.WriteString(r.o.Acked, id+"\n"); err != nil {
				r.cancel(fmt.Errorf("writing the acknowledgements: %w", err))
			}
		}
		if r.o.Progress != nil {
			r.o.Progress(r.rep.Acknowledged)
		}
		return true
	case 5:
		r.rep.Refused++
		return true
	}
	r.rep.Deferred++
	return false
}

func (r *runner) add(f func(*Report)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.rep)
}

func (r *runner) broken(err error) {
	r.add(func(rep *Report) {
		rep.Broken++
		rep.LastError = err.Error()
	})
	if since := time.Since(time.Unix(0, r.touched.Load())); since > r.o.Patience {
		r.cancel(errImpatient)
	}
}

func (r *runner) report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	rep := r.rep
	if rep.Acknowledged == 0 {
		return rep
	}
	rep.Seconds = r.ended.Sub(r.started).Seconds()
	rep.PerSecond = float64(rep.Acknowledged) / max(rep.Seconds, 1e-9)
	slices.Sort(r.latencies)
	at := func(q float64) float64 {
		return r.latencies[int(q*float64(len(r.latencies)-1))].Seconds() * 1000
	}
	rep.P50, rep.P99, rep.Max = at(0.5), at(0.99), at(1)
	return rep
}
