package daily

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Limits bounds when reports are sent.
type Limits struct {
	Flush  time.Duration // how often what was counted goes into the store; a crash loses no more than this
	Look   time.Duration // how often it is looked for reports to send
	Spread time.Duration // the reports of a day go out within this time after midnight. RFC 8460 §4.1
	Retry  time.Duration // after midnight, until when a report is tried. RFC 8460 §3
	Send   time.Duration // for the questions about one report and for handing it over
}

// DefaultLimits returns the bounds that nobody configured.
func DefaultLimits() Limits {
	return Limits{Flush: time.Minute, Look: 10 * time.Minute, Spread: 4 * time.Hour, Retry: day, Send: 2 * time.Minute}
}

// ReportsOptions are what Reports work with, whatever the configuration says; all but Passed are
// required.
type ReportsOptions[T any] struct {
	Store  store.Store
	Kind   Kind[T]
	Room   Room
	Limits Limits
	Now    func() time.Time
	// Passed is the time by which a report was tried for long, whatever the clock was set to; nil: Now.
	Passed func() time.Time
	Logger *slog.Logger
}

// Form writes and addresses one kind of report, by the configuration in force.
type Form[T any] interface {
	// Hand asks where the report about a domain goes, and hands it over there. mark says
	// in the store that this has happened; where it is mail, mark goes with the act that
	// queues it (Mail.Also). done: it is not to be tried again, which is so as well where
	// the domain asks for none, or where it can be handed over nowhere.
	Hand(ctx context.Context, d Due, t T, mark []store.Mutation) (done bool, err error)
}

// Due is what was counted about a domain on a day that is over.
type Due struct {
	Domain mail.Domain
	Day    time.Time // when it began
	key    string
}

// Last returns the last second of the day, which reports name as its end.
func (d Due) Last() time.Time { return d.Day.Add(day - time.Second) }

// ID returns what names the report of somebody about it: the same at each attempt, and
// nobody else's.
func (d Due) ID(by string) string {
	sum := sha256.Sum256([]byte(by + " " + d.key))
	return hex.EncodeToString(sum[:16])
}

// Subject returns the subject of the report as mail. RFC 8460 §5.3, RFC 9990 §3.5.2
func (d Due) Subject(submitter, id string) string {
	return fmt.Sprintf("Report Domain: %s\r\n Submitter: %s\r\n Report-ID: <%s>", d.Domain.ASCII(), submitter, id)
}

// File returns the name of the report as a file, which tells who, about whom and when.
// RFC 8460 §5.1, RFC 9990 §3.5.2
func (d Due) File(submitter, unique, kind string) string {
	return fmt.Sprintf("%s!%s!%d!%d!%s.%s.gz", submitter, d.Domain.ASCII(), d.Day.Unix(), d.Last().Unix(), unique, kind)
}

// Text returns the part of the report that is for a person: what of the domain it is
// about, who made it, and which RFC describes it. Its lines are short, however long the
// domains are.
func (d Due) Text(about, by, rfc string) Part {
	text := fmt.Sprintf("This is a report about %s\r\n%s\r\non %s (UTC), as %s describes it.\r\nIt was made by\r\n%s.\r\n",
		about, short(d.Domain.ASCII()), d.Day.Format(dayFormat), rfc, short(by))
	return Part{Type: "text/plain; charset=us-ascii", Data: []byte(text)}
}

// short keeps a domain within a line of a part without an encoding.
func short(domain string) string {
	const most = lineOctets - 6
	if len(domain) > most {
		return domain[:most-3] + "..."
	}
	return domain
}

// Reports counts what is to be reported about other domains, day by day, and has it told
// to them when the day is over. It is safe for concurrent use. Make it with NewReports;
// it counts and tells nothing until a form is adopted.
type Reports[T any] struct {
	o     ReportsOptions[T]
	log   *slog.Logger
	force atomic.Pointer[inForce[T]] // nil: nobody answers for reports

	mu    sync.Mutex
	fresh tallies[T]

	sending sync.Mutex
	tried   map[string]time.Time // by key: when what is over was first tried, by ReportsOptions.Passed
}

// inForce is what the configuration says.
type inForce[T any] struct {
	form Form[T]
	most int
}

// NewReports returns Reports that keep what they count in the store.
func NewReports[T any](o ReportsOptions[T]) *Reports[T] {
	if o.Passed == nil {
		o.Passed = o.Now
	}
	return &Reports[T]{o: o, log: o.Logger.With("report", o.Kind.Name), fresh: tallies[T]{of: map[string]*T{}}, tried: map[string]time.Time{}}
}

// Adopt puts a form in force, by which at most so many reports leave as mail in a day;
// nil: nobody answers for reports. What was counted stays, and is told if somebody does
// in time.
func (r *Reports[T]) Adopt(f Form[T], most int) {
	if f == nil {
		r.force.Store(nil)
		return
	}
	r.force.Store(&inForce[T]{f, most})
}

// Run counts and reports until ctx ends, and keeps then what was counted.
func (r *Reports[T]) Run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() {
		every(ctx, r.o.Limits.Look, r.Send)
	})
	both.Go(func() {
		every(ctx, r.o.Limits.Flush, r.Flush)
		r.Flush(ctx)
	})
	both.Wait()
}

// every calls do now, and whenever some time has passed, until ctx ends.
func every(ctx context.Context, pause time.Duration, do func(context.Context)) {
	for ctx.Err() == nil {
		do(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// errDaily says that a day has had its reports.
var errDaily = errors.New("as many reports as are allowed in a day have left")

// Send has every report told that is due now.
func (r *Reports[T]) Send(ctx context.Context) {
	in := r.force.Load()
	if in == nil {
		return
	}
	r.sending.Lock()
	defer r.sending.Unlock()
	now := r.o.Now().UTC()
	all, err := r.over(ctx, now)
	if err != nil && ctx.Err() == nil {
		r.log.Warn("what is to be reported cannot be read", "err", err)
	}
	for _, d := range r.latest(ctx, all) {
		age := now.Sub(d.Day.Add(day))
		// What was counted just before midnight needs its time to arrive.
		wait := 2*r.o.Limits.Flush + delay(d, r.o.Limits.Spread)
		if age < wait {
			continue
		}
		if _, again := r.tried[d.key]; !again {
			r.tried[d.key] = r.o.Passed()
		}
		if ctx.Err() != nil {
			return
		}
		done, err := r.one(ctx, in, now, d)
		if err != nil {
			r.log.Warn("a report is not sent", "domain", d.Domain.ASCII(), "err", err)
		}
		// A day that is long over by the clock alone, since that was set, is tried for as long as any other.
		if done || age >= r.o.Limits.Retry && r.o.Passed().Sub(r.tried[d.key]) >= r.o.Limits.Retry-wait {
			r.forget(ctx, d.key)
		}
		if errors.Is(err, errDaily) {
			return
		}
	}
}

// latest returns what is kept of the last daysKept days that are over. What is kept of others is forgotten: by how many there
// are, whatever the clock says of how long ago they were.
func (r *Reports[T]) latest(ctx context.Context, all []Due) []Due {
	days := 0
	for i := len(all) - 1; i >= 0; i-- {
		if i+1 == len(all) || !all[i].Day.Equal(all[i+1].Day) {
			days++
		}
		if days > daysKept {
			for _, d := range all[:i+1] {
				r.forget(ctx, d.key)
			}
			return all[i+1:]
		}
	}
	return all
}

// delay is how long after midnight a report goes out, so that not all of the world's
// arrive in one second.
func delay(d Due, spread time.Duration) time.Duration {
	sum := sha256.Sum256([]byte(d.key))
	return time.Duration(binary.BigEndian.Uint64(sum[:]) % uint64(spread))
}

// one has one report handed over; done: it is not to be tried again.
func (r *Reports[T]) one(ctx context.Context, in *inForce[T], now time.Time, d Due) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Limits.Send)
	defer cancel()
	n, mark, err := r.sent(ctx, now, d)
	if err != nil {
		return false, err
	}
	if n >= in.most {
		return false, errDaily
	}
	t, err := r.load(ctx, d)
	if err != nil {
		return errors.Is(err, errDamaged), err
	}
	return in.form.Hand(ctx, d, t, mark)
}
