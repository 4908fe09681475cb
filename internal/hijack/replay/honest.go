package replay

import (
	"runtime"
	"syscall"
	"time"

	"sallyport/internal/hijack"
)

// month is what an account-month is.
const month = 30 * 24 * time.Hour

// Honest is what became of the honest people of a log.
type Honest struct {
	Messages      int
	Deliveries    int
	Events        int // that are no messages
	Accounts      int
	AccountMonths int
	Contained     []Containment
	// Per1000 is how many there are in 1000 account-months, between Low and High with 95 %
	// confidence; PerMillion how many in a million messages, of which theory allows Promised.
	Per1000, Low, High, PerMillion, Promised float64
	// Delayed is how many messages waited for the bucket, and Waits how long, in seconds.
	Delayed  int
	Waits    Quantiles[float64]
	waits    []float64
	promised float64
	// Paused is how often the network that all of them sit in was paused.
	Paused int
	// Held is how many messages waited for the hold window.
	Held int
	// NewToAccount and NewToSite are recipients that were so.
	NewToAccount, NewToSite int
	// NanosPerRecipient is what fingerprint, classification, judgement and learning take of
	// a processor for one recipient, or one event.
	NanosPerRecipient float64
	spent             time.Duration
	// BookPairs and BookSite are how many entries the book of correspondents has.
	BookPairs, BookSite int
	Shape               Shape
	// Stored is how many octets the stored form of a state has, on average.
	Stored int
	// Heap is how much memory the states of all accounts take, in octets.
	Heap uint64
}

// Containment is one of an honest account.
type Containment struct {
	Account  string
	At       time.Time
	After    int // messages
	Evidence []string
}

// honest replays a log. Between messages, at each time of waves, wave is called.
func (s *server) honest(log []Message, every time.Duration, from time.Time, wave func(at time.Time)) Honest {
	out := Honest{}
	next, began := from, processor()
	for _, m := range log {
		for ; every > 0 && !m.At.Before(next); next = next.Add(every) {
			out.spent += processor()
			wave(next)
			out.spent -= processor()
		}
		s.one(m, &out)
	}
	out.spent += processor() - began
	s.finish(log, &out)
	return out
}

// processor is the time that this process has had of a processor until now: what others do
// on the machine does not count.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// one replays one message.
func (s *server) one(m Message, out *Honest) {
	if m.In {
		from := s.key.Account(m.From)
		for _, to := range m.To {
			s.book.Learn(hijack.Heard(s.account(to).who, from, m.At))
		}
		return
	}
	a := s.account(m.From)
	priors := s.site.Priors(s.params)
	s.drain(a, m.At, priors, out.left)
	if m.Event != nil {
		var v hijack.Verdict
		a.state, v = hijack.Advance(a.state, m.Event, priors, s.params)
		s.judged(a, v, m.At, out)
		out.Events++
		return
	}
	to := s.people(m.To)
	r := s.submit(a, s.book, to, m.Invalid, m.At, priors)
	s.site = s.site.Learn(hijack.Submitted{At: m.At, Recipients: r.recipients}, r.verdict, s.params)
	if r.verdict.Contain {
		r.away = r.recipients.Elsewhere // a person lets the message go
	}
	out.Messages++
	out.Deliveries += len(m.To)
	out.NewToAccount += r.recipients.NewToAccount
	out.NewToSite += r.recipients.NewToSite
	atHome := a.sent > 0 && m.At.Sub(a.first) >= hijack.Settled
	var p hijack.Pause
	s.network, p = hijack.Share(s.network, hijack.Use{At: m.At, Account: a.who, AtHome: atHome, Recipients: r.recipients}, priors, hijack.DefaultSharedParams())
	if p.Now {
		out.Paused++
		s.network = s.network.Cleared()
	}
	if s.judged(a, r.verdict, m.At, out) {
		s.book.Learn(hijack.Wrote(a.who, to, m.At))
	}
	s.judged(a, s.answered(a, m.Gone, r.away, r.recipients.Total(), m.At, priors), m.At, out)
	if r.verdict.Hold > 0 {
		out.Held++
	}
	if a.sent == 0 {
		a.first = m.At
	}
	a.last = m.At
	a.sent++
	a.fresh += r.recipients.NewToAccount + r.recipients.NewToSite
	a.all += r.recipients.Total()
}

// judged counts what follows for an honest account; where it is contained, a person says that
// nothing is wrong.
func (s *server) judged(a *account, v hijack.Verdict, at time.Time, out *Honest) bool {
	out.promised += v.Expected / s.params.Odds
	if !v.Contain {
		return false
	}
	c := Containment{Account: a.name, At: at, After: a.sent}
	for _, f := range v.Evidence {
		c.Evidence = append(c.Evidence, f.Words())
	}
	out.Contained = append(out.Contained, c)
	a.state = a.state.Cleared(s.params)
	return true
}

// left counts a message that waited when the last of its recipients leaves.
func (h *Honest) left(w waiting, n int, at time.Time) {
	if w.n == 0 {
		h.waits = append(h.waits, at.Sub(w.since).Seconds())
	}
}

// finish lets those who still wait leave, and counts.
func (s *server) finish(log []Message, out *Honest) {
	if len(log) == 0 {
		return
	}
	end := log[len(log)-1].At
	priors := s.site.Priors(s.params)
	var novelty []float64
	for _, name := range s.names() {
		a := s.accounts[name]
		if a.sent == 0 {
			continue
		}
		s.drain(a, end.Add(3*month), priors, out.left)
		out.Accounts++
		out.Stored += len(a.state.Append(nil))
		if a.all > 0 {
			novelty = append(novelty, float64(a.fresh)/float64(a.all))
		}
		out.AccountMonths += int(end.Sub(a.first)/month) + 1
	}
	out.Shape = shape(log, novelty)
	out.BookPairs, out.BookSite = s.book.Pairs()
	out.Heap, out.Stored = heap(), out.Stored/max(1, out.Accounts)
	out.sum()
}

// sum makes rates of counts.
func (h *Honest) sum() {
	low, high := poisson(len(h.Contained))
	months, messages := max(1, float64(h.AccountMonths)), max(1, float64(h.Messages))
	h.Per1000, h.Low, h.High = 1000*float64(len(h.Contained))/months, 1000*low/months, 1000*high/months
	h.PerMillion, h.Promised = 1e6*float64(len(h.Contained))/messages, 1e6*h.promised/messages
	h.Delayed, h.Waits = len(h.waits), quantiles(h.waits)
	h.NanosPerRecipient = float64(h.spent.Nanoseconds()) / max(1, float64(h.Deliveries+h.Events))
}

// heap measures what states take in memory.
func heap() uint64 {
	const many = 10_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	all := make([]*hijack.State, many)
	for i := range all {
		all[i] = new(hijack.State)
	}
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(all)
	return (after.TotalAlloc - before.TotalAlloc) / many
}
