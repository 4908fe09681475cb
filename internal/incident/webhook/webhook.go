package webhook

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Limits bounds what telling costs.
type Limits struct {
	Try    time.Duration // for one request with its answer
	Body   int           // octets of one request
	Answer int           // octets that are read of the header of an answer, and of its body
	First  time.Duration // until the next try after the first that failed; twice as long after each
	Most   time.Duration // the longest until the next try
	Look   time.Duration // how often incidents are looked at that were not told yet
	Keep   time.Duration // for which one is told that is over and that the receiver does not take
	Recent int           // incidents one after the other that were told, which end the search for others
}

// DefaultLimits returns the bounds of a server that nobody configured.
func DefaultLimits() Limits {
	return Limits{
		Try: 10 * time.Second, Body: 64 << 10, Answer: 16 << 10, First: 5 * time.Second, Most: 10 * time.Minute, Look: time.Minute, Keep: 3 * 24 * time.Hour, Recent: 1000,
	}
}

// Settings say who is told. The zero Settings tell nobody.
type Settings struct {
	URL   *url.URL       // https; nil: nobody
	Keys  [][]byte       // that sign, at least one
	Roots *x509.CertPool // that the receiver's certificate must lead to; nil: the system's
	Trust string         // what Roots were made of, by which a change is known
}

func (s Settings) on() bool { return s.URL != nil && len(s.Keys) > 0 }

func (s Settings) equal(o Settings) bool {
	return s.on() == o.on() && s.Trust == o.Trust && (!s.on() || s.URL.String() == o.URL.String()) &&
		slices.EqualFunc(s.Keys, o.Keys, func(a, b []byte) bool { return slices.Equal(a, b) })
}

// Options is what a Hook needs. All of it but Age is required.
type Options struct {
	Hostname mail.Domain
	Log      *incident.Log
	Store    store.Store
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Write    func(ctx context.Context, facts ...fact.Fact) error
	Limits   Limits
	Now      func() time.Time
	// Age is how much time has passed since the clock showed a moment, whatever it was set to; nil: by Now.
	Age    func(time.Time) time.Duration
	Logger *slog.Logger
}

// Hook tells. Its methods may be called concurrently.
type Hook struct {
	o    Options
	wake chan struct{}
	// Run alone uses done: events whose mark the disk did not take yet.
	done map[string]string

	mu       sync.Mutex
	settings Settings
	fault    string // why the last try failed; "": it did not
	failures int    // one after the other
	silent   bool   // he took nothing at all then
	tried    time.Time
	next     time.Time
	counts   Counts
}

// Counts are requests since the server began.
type Counts struct {
	Delivered uint64 `json:"delivered"`
	Failed    uint64 `json:"failed"`
	GivenUp   uint64 `json:"given_up"` // events
}

// State is how telling goes.
type State struct {
	Host    string    `json:"host"` // the receiver's
	Waiting int       `json:"waiting"`
	Since   time.Time `json:"since,omitzero"` // when the first that waits happened
	Fault   string    `json:"fault,omitempty"`
	Tried   time.Time `json:"tried,omitzero"`
	Next    time.Time `json:"next,omitzero"` // of the next try after a fault
	Counts
}

// New returns a Hook that tells nobody yet.
func New(o Options) *Hook {
	if o.Age == nil {
		o.Age = func(t time.Time) time.Duration { return o.Now().Sub(t) }
	}
	return &Hook{o: o, wake: make(chan struct{}, 1), done: map[string]string{}}
}

// Adjust changes who is told. What waits is tried at once there.
func (h *Hook) Adjust(s Settings) {
	h.mu.Lock()
	same := h.settings.equal(s)
	h.settings = s
	if !same {
		h.failures, h.fault, h.next = 0, "", time.Time{}
	}
	h.mu.Unlock()
	if !same {
		h.Wake()
	}
}

// Settings are those in force.
func (h *Hook) Settings() Settings {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.settings
}

// Wake has it look for what was not told yet. It does not block.
func (h *Hook) Wake() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// State returns how it goes; nil: nobody is told.
func (h *Hook) State(ctx context.Context) (*State, error) {
	h.mu.Lock()
	s := State{Fault: h.fault, Tried: h.tried, Next: h.next, Counts: h.counts}
	on := h.settings.on()
	if on {
		s.Host = h.settings.URL.Host
	}
	h.mu.Unlock()
	if !on {
		return nil, nil
	}
	all, err := h.pending(ctx)
	if len(all) > 0 {
		s.Waiting, s.Since = len(all), all[0].at()
	}
	return &s, err
}

// Run tells until ctx is done.
func (h *Hook) Run(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		case <-h.wake:
			if h.failing() {
				continue // whoever does not answer is asked no sooner for it
			}
		}
		if err := h.look(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrLow) {
			h.o.Logger.Error("it is not known which incidents the webhook was not told of; it is looked again", "err", err)
		}
		pause.Reset(h.pause())
	}
}

// failing reports whether the receiver takes nothing. One who refuses an event may take
// another.
func (h *Hook) failing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failures > 0 && h.silent
}

// pause is how long nothing is done unless something happens.
func (h *Hook) pause() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failures == 0 {
		return h.o.Limits.Look
	}
	return backoff(h.o.Limits, h.failures)
}

// backoff is how long it takes until the next try, after so many failures one after the other.
func backoff(l Limits, failures int) time.Duration {
	d := l.First
	for n := 1; n < failures && d < l.Most; n++ {
		d *= 2
	}
	return min(d, l.Most)
}

const (
	prefix     = string(store.SpaceWebhook)
	keyFrom    = prefix + "from"
	prefixTold = prefix + "told/"
)

func toldKey(e event) string {
	return fmt.Sprintf("%s%020d %s", prefixTold, e.incident.Number, e.change)
}

// look tells what was not told, the oldest first.
func (h *Hook) look(ctx context.Context) error {
	s := h.Settings()
	if err := h.begin(ctx, s.on()); err != nil || !s.on() {
		return err
	}
	all, err := h.pending(ctx)
	if err != nil {
		return err
	}
	refused := map[uint64]bool{}
	var last error
	for _, e := range all {
		if refused[e.incident.Number] {
			continue // nothing is cleared before it was raised
		}
		if how, is := h.done[toldKey(e)]; is { // and its mark is missing
			if err := h.mark(ctx, e, how); err != nil {
				return err
			}
			continue
		}
		err := h.tell(ctx, s, e)
		var no refusedError
		var silent silentError
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &no):
			refused[e.incident.Number], last = true, err
		case errors.As(err, &silent):
			h.failed(ctx, err, true)
			return nil
		default:
			return err // of the store
		}
	}
	if last != nil {
		h.failed(ctx, last, false)
	} else {
		h.works(ctx)
	}
	return nil
}

// begin remembers, when it begins to tell, what was over before: nobody wants to hear of that.
func (h *Hook) begin(ctx context.Context, on bool) error {
	_, is, err := h.from(ctx)
	if err != nil || is == on {
		return err
	}
	m := store.Mutation{Key: []byte(keyFrom), Delete: true}
	if on {
		from := uint64(1)
		err = h.o.Log.List(ctx, func(i incident.Incident) (bool, error) { from = i.Number + 1; return false, nil })
		if err != nil {
			return err
		}
		m = store.Mutation{Key: []byte(keyFrom), Value: codec.EncodeRevision(from)}
	}
	_, err = h.o.Store.Apply(ctx, store.Tx{Mutations: []store.Mutation{m}}, store.Durable)
	return err
}

// from is the first incident of which everything is told, and whether one is known.
func (h *Hook) from(ctx context.Context) (n uint64, is bool, err error) {
	value, err := h.o.Store.Get(ctx, []byte(keyFrom))
	if errors.Is(err, store.ErrNotFound) {
		return 0, false, nil
	}
	if err == nil {
		n, err = codec.DecodeRevision(value)
	}
	return n, err == nil, err
}

// pending are the events that were not told yet, the oldest first.
func (h *Hook) pending(ctx context.Context) (all []event, err error) {
	from, _, err := h.from(ctx)
	if err != nil {
		return nil, err
	}
	told := 0
	err = h.o.Log.List(ctx, func(i incident.Incident) (bool, error) {
		var has [2]bool
		for n, c := range []change{raised, cleared} {
			_, err := h.o.Store.Get(ctx, []byte(toldKey(event{i, c})))
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return false, err
			}
			has[n] = err == nil
		}
		news := due(i, from, has[0], has[1])
		all = append(all, news...)
		if told++; len(news) > 0 {
			told = 0
		}
		return told < h.o.Limits.Recent, nil
	})
	slices.SortStableFunc(all, order)
	return all, err
}

// due says what of an incident is still to be told, when everything is told from a number
// on: of an earlier one that it is open, and then that it is over.
func due(i incident.Incident, from uint64, wasRaised, wasCleared bool) (all []event) {
	open := i.State == incident.StateOpen
	if !wasRaised && (open || i.Number >= from) {
		all = append(all, event{i, raised})
	}
	if !open && !wasCleared && (wasRaised || i.Number >= from) {
		all = append(all, event{i, cleared})
	}
	return all
}

// tell tries one event. An error says that it stays.
func (h *Hook) tell(ctx context.Context, s Settings, e event) error {
	err := h.post(ctx, s, e)
	if err != nil && ctx.Err() != nil {
		return err
	}
	h.mu.Lock()
	h.tried = h.o.Now().UTC()
	over := err != nil && e.incident.State != incident.StateOpen && h.o.Age(e.at()) > h.o.Limits.Keep
	switch {
	case err == nil:
		h.counts.Delivered++
	case over:
		h.counts.Failed, h.counts.GivenUp = h.counts.Failed+1, h.counts.GivenUp+1
	default:
		h.counts.Failed++
	}
	h.mu.Unlock()
	switch {
	case err == nil:
		h.o.Logger.Info("the webhook was told of an incident", "incident", e.incident.Number, "change", string(e.change), "host", s.URL.Host)
		return h.mark(ctx, e, "told")
	case over:
		h.o.Logger.Error("the webhook is not told of an incident any more, which is over", "incident", e.incident.Number, "change", string(e.change), "host", s.URL.Host, "err", err)
		h.alarm(ctx, fact.Alarm{Rule: RuleGivenUp, Text: "the webhook was not told of an incident that is over", Evidence: []fact.Pair{
			{Name: "incident", Value: strconv.FormatUint(e.incident.Number, 10) + " " + string(e.change)}, {Name: "error", Value: err.Error()},
		}})
		return h.mark(ctx, e, "given up")
	}
	return err
}

// mark remembers that an event is done with. A disk that does not take it now is asked again.
func (h *Hook) mark(ctx context.Context, e event, how string) error {
	key := toldKey(e)
	h.done[key] = how
	m := store.Mutation{Key: []byte(key), Value: []byte(how + " " + h.o.Now().UTC().Format(time.RFC3339))}
	_, err := h.o.Store.Apply(ctx, store.Tx{Mutations: []store.Mutation{m}}, store.Durable)
	if err == nil {
		delete(h.done, key)
	}
	return err
}

// The rules of the alarms about the webhook.
const (
	RuleFails   = "webhook-fails"
	RuleAnswers = "webhook-answers"
	RuleGivenUp = "webhook-given-up"
)

// failed tells once that the receiver does not take what he is told, and when he is tried again.
func (h *Hook) failed(ctx context.Context, why error, silent bool) {
	h.mu.Lock()
	h.failures++
	h.silent = silent
	first, host := h.failures == 1, h.settings.URL
	wait := backoff(h.o.Limits, h.failures)
	h.fault, h.next = fact.Clean(why.Error(), maxFault), h.o.Now().Add(wait).UTC()
	h.mu.Unlock()
	if host == nil {
		return // it was taken out of the configuration meanwhile
	}
	h.o.Logger.Warn("the webhook could not be told of an incident; it is tried again", "host", host.Host, "again", wait.String(), "err", why)
	if first {
		h.alarm(ctx, fact.Alarm{Rule: RuleFails, Text: "the webhook cannot be told of an incident", Evidence: []fact.Pair{{Name: "host", Value: host.Host}, {Name: "error", Value: why.Error()}}})
	}
}

// maxFault is how long the words of a fault may be.
const maxFault = 500

// works ends a row of failures.
func (h *Hook) works(ctx context.Context) {
	h.mu.Lock()
	was := h.failures > 0
	h.failures, h.fault, h.next = 0, "", time.Time{}
	h.mu.Unlock()
	if was {
		h.o.Logger.Info("the webhook was told of everything that waited")
		h.alarm(ctx, fact.Alarm{Rule: RuleAnswers, Text: "the webhook is told of incidents again"})
	}
}

func (h *Hook) alarm(ctx context.Context, a fact.Alarm) {
	a.At = h.o.Now()
	if err := h.o.Write(ctx, a.Fact()); err != nil && ctx.Err() == nil {
		h.o.Logger.Warn("fact not recorded", "kind", string(fact.KindAlarm), "err", err)
	}
}
