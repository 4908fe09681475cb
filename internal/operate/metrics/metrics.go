package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sallyport/internal/fact"
	"sallyport/internal/kit/httpd"
	"sallyport/internal/store"
)

// Limits bounds what metrics cost.
type Limits struct {
	// LabelValues is how many values a label may take that is named by rules; what
	// comes later counts as "other".
	LabelValues int
	// Requests is how many scrapes are answered at once.
	Requests int
	// Scrape is how long one scrape may take.
	Scrape time.Duration
	// Request bounds a request, Answer its answer, Idle the time between two of a connection.
	Request, Answer, Idle time.Duration
	// Connections are those at once at one address; more wait.
	Connections int
}

// DefaultLimits returns the bounds where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{
		LabelValues: 256, Requests: 4, Scrape: 10 * time.Second, Request: 10 * time.Second, Answer: 30 * time.Second, Idle: 2 * time.Minute,
		Connections: 64,
	}
}

// State is what is read when somebody looks.
type State struct {
	Started                 time.Time
	Open                    int
	Reading                 int // those of them to the doors of mailboxes
	Connections, TurnedAway uint64
	MemoryRefused           uint64
	Messages, Held, Active  int
	Capped                  int // accounts
	Filling, Full           int // mailboxes and domains: nearly full, and full
	Guessed                 int // accounts
	NetworksOpen            int // trusted networks whose clients are taken for their account
	NetworksWaiting         int // that wait for proof
	NetworksClosed          int // that a person has to open
	Tokenless               int // token endpoints that give nothing
	Ending                  int // certificates of accounts
	Incidents               int // that are open
	// Of the webhook: changes that it was not told of yet, and requests by how they went.
	WebhookWaiting             int
	WebhookTold, WebhookFailed uint64
	Octets                     int64
	Oldest                     time.Duration // 0: nothing waits
	DiskFree                   uint64
	DiskLow                    bool
	Damaged                    int // what the disk has damaged and nobody has acknowledged
	Facts, Sequenced           uint64
	Signed                     int64
	SignedAt                   time.Time
	Skipped                    int64
	CertificateExpires         time.Time // zero: there is no certificate
}

// Options of a Set. All are needed.
type Options struct {
	Version string
	Limits  Limits
	State   func(ctx context.Context) State
}

// Set is the metrics of one server. Its methods may be called concurrently.
type Set struct {
	o        Options
	registry *prometheus.Registry
	counters map[string]*prometheus.CounterVec
	commits  *prometheus.HistogramVec
	states   map[string]*prometheus.Desc

	mu    sync.Mutex
	known map[string]map[string]bool // by label: the values that it took
}

// New returns a Set with a registry of its own.
func New(o Options) (*Set, error) {
	s := &Set{
		o: o, registry: prometheus.NewRegistry(), counters: map[string]*prometheus.CounterVec{},
		states: map[string]*prometheus.Desc{}, known: map[string]map[string]bool{},
	}
	all := []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), s,
	}
	read := stateValues(State{})
	for _, m := range Table() {
		switch _, isState := read[m.Name]; {
		case isState:
			s.states[m.Name] = prometheus.NewDesc(m.Name, m.Doc, m.Labels, nil)
		case m.Type == Histogram:
			s.commits = prometheus.NewHistogramVec(prometheus.HistogramOpts{
				Name: m.Name, Help: m.Doc, Buckets: []float64{.0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
			}, m.Labels)
			all = append(all, s.commits)
		default:
			c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Doc}, m.Labels)
			s.counters[m.Name] = c
			all = append(all, c)
		}
	}
	// An alert by increase() sees nothing in the first value of a series, so that the
	// series is there before the first error.
	for _, kind := range []string{"unavailable", "other"} {
		s.add(commitErrors, 0, kind)
	}
	for _, c := range all {
		if err := s.registry.Register(c); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Handler serves the metrics at /metrics and nothing else.
func (s *Set) Handler() http.Handler {
	scrape := promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{MaxRequestsInFlight: s.o.Limits.Requests, Timeout: s.o.Limits.Scrape})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", scrape)
	return mux
}

// Serve serves the metrics at every listener until ctx ends, and closes them all. It has
// neither TLS nor a password: who may reach the listeners may read.
func (s *Set) Serve(ctx context.Context, log *slog.Logger, at ...net.Listener) error {
	l := httpd.DefaultLimits()
	l.Header, l.Read, l.Write, l.Idle, l.Connections = s.o.Limits.Request, s.o.Limits.Request, s.o.Limits.Answer, s.o.Limits.Idle, s.o.Limits.Connections
	return httpd.Serve(ctx, httpd.Options{Limits: l, Handler: s.Handler(), Logger: log, Level: slog.LevelDebug}, at...)
}

// Fact counts a fact. One that names more recipients than a fact holds comes in parts:
// recipients are counted in each, and whatever happened once with the first.
func (s *Set) Fact(f fact.Fact) {
	if f.Kind == fact.KindOutcome {
		s.add(outcomesTotal, float64(max(len(f.Recipients), 1)), s.value("rule", f.Rule))
	}
	if f.Part == 0 {
		s.once(f)
	}
}

// once counts what happened once, whomever it was about.
func (s *Set) once(f fact.Fact) {
	switch f.Kind {
	case fact.KindRefuse:
		s.add(refusedTotal, many(f), s.value("door", f.Door), s.value("rule", f.Rule))
	case fact.KindAuth:
		result := "failed"
		if f.Reply.OK() {
			result = "ok"
		}
		s.add(authTotal, many(f), result, s.value("rule", f.Rule))
	case fact.KindAccept:
		s.add(acceptedTotal, 1, s.value("door", f.Door))
		s.add(acceptedOctets, float64(f.Size), s.value("door", f.Door))
	case fact.KindNotify:
		s.add(notifiedTotal, 1)
	case fact.KindHold:
		s.add(heldTotal, 1, s.value("rule", f.Rule))
	case fact.KindIncident:
		s.add(incidentsTotal, 1, s.value("rule", f.Rule))
	case fact.KindAlarm:
		s.add(alarmsTotal, 1, s.value("rule", f.Rule))
	}
}

// many is how many facts of strangers a fact stands for.
func many(f fact.Fact) float64 {
	if f.Until.IsZero() {
		return 1
	}
	return float64(max(f.Count, 1))
}

func (s *Set) add(name string, n float64, labels ...string) {
	s.counters[prefix+name].WithLabelValues(labels...).Add(n)
}

// value admits a value of a label while there are few. Rules and doors are named by
// the program; the bound is for the day on which one is not.
func (s *Set) value(label, v string) string {
	if v == "" {
		return "none"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	values := s.known[label]
	if values == nil {
		values = map[string]bool{}
		s.known[label] = values
	}
	if !values[v] && len(values) >= s.o.Limits.LabelValues {
		return "other"
	}
	values[v] = true
	return v
}

// Commit counts a change of the store.
func (s *Set) Commit(d store.Durability, took time.Duration, err error) {
	durability := "durable"
	if d == store.Lazy {
		durability = "lazy"
	}
	switch {
	case err == nil || errors.Is(err, store.ErrConflict): // a conflict is an answer
		s.commits.WithLabelValues(durability).Observe(took.Seconds())
	case errors.Is(err, store.ErrUnavailable):
		s.add(commitErrors, 1, "unavailable")
	default:
		s.add(commitErrors, 1, "other")
	}
}

// Describe implements prometheus.Collector.
func (s *Set) Describe(out chan<- *prometheus.Desc) {
	for _, d := range s.states {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (s *Set) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), s.o.Limits.Scrape)
	defer cancel()
	state := s.o.State(ctx)
	values := stateValues(state)
	for _, m := range Table() {
		d, ok := s.states[m.Name]
		if !ok || m.Name == prefix+certExpiry && state.CertificateExpires.IsZero() {
			continue
		}
		kind, labels := prometheus.GaugeValue, []string(nil)
		if m.Type == Counter {
			kind = prometheus.CounterValue
		}
		if m.Name == prefix+buildInfo {
			labels = []string{s.o.Version}
		}
		out <- prometheus.MustNewConstMetric(d, kind, values[m.Name], labels...)
	}
}

// stateValues are the metrics that are read when somebody looks.
func stateValues(v State) map[string]float64 {
	values := map[string]float64{
		buildInfo: 1, startTime: seconds(v.Started), connsOpen: float64(v.Open),
		connsReading: float64(v.Reading), connsTotal: float64(v.Connections),
		connsAway: float64(v.TurnedAway), accountsCapped: float64(v.Capped),
		mailboxesFilling: float64(v.Filling), mailboxesFull: float64(v.Full),
		accountsGuessed: float64(v.Guessed), certsEnding: float64(v.Ending),
		tokensFailing: float64(v.Tokenless), incidentsOpen: float64(v.Incidents),
		networksOpen: float64(v.NetworksOpen), networksWaiting: float64(v.NetworksWaiting),
		networksClosed: float64(v.NetworksClosed), webhookWaiting: float64(v.WebhookWaiting),
		webhookTold: float64(v.WebhookTold), webhookFailed: float64(v.WebhookFailed),
		memoryRefused: float64(v.MemoryRefused),
		queueMessages: float64(v.Messages), queueHeld: float64(v.Held), queueOctets: float64(v.Octets), queueActive: float64(v.Active),
		queueOldest: v.Oldest.Seconds(), diskFree: float64(v.DiskFree), diskLow: bit(v.DiskLow),
		damageOpen: float64(v.Damaged), traceFacts: float64(v.Facts), traceSequenced: float64(v.Sequenced),
		traceSigned: float64(v.Signed), traceSignedTime: seconds(v.SignedAt),
		traceSkipped: float64(v.Skipped), certExpiry: seconds(v.CertificateExpires),
	}
	out := make(map[string]float64, len(values))
	for name, n := range values {
		out[prefix+name] = n
	}
	return out
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}
