package daily

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// tally is the simplest that there can be: a number, and one row for each tally.
type tally struct{ N int }

const counted, sent = "t/c/", "t/s/"

var midnight = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func must(t interface{ Fatal(...any) }, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

func dom(t interface{ Fatal(...any) }, s string) mail.Domain {
	d, err := mail.ParseDomain(s)
	must(t, err)
	return d
}

var errDisk = errors.New("the disk fails")

// disk is a store that fails while it is told to.
type disk struct {
	store.Store
	fails error
}

func (d *disk) Apply(ctx context.Context, tx store.Tx, how store.Durability) (store.Revision, error) {
	if d.fails != nil {
		return 0, d.fails
	}
	return d.Store.Apply(ctx, tx, how)
}

func (d *disk) Get(ctx context.Context, key []byte) ([]byte, error) {
	if d.fails != nil {
		return nil, d.fails
	}
	return d.Store.Get(ctx, key)
}

// how a domain takes its reports.
type manner int

const (
	takes   manner = iota // as mail, with the mark in one act
	crashes               // the same, and nobody hears of it
	posts                 // without the mark
	nobody                // it asks for none
	later                 // it cannot be told now
)

// form is told what is to be told, and does with it as domains do.
type form struct {
	disk   *disk
	manner map[string]manner
	now    func() time.Time
	told   []telling
	tried  int
}

type telling struct {
	about string // "2026-03-02 a.test 3"
	mails bool
	at    time.Time
}

var errLater = errors.New("try again later")

func (f *form) Hand(ctx context.Context, d Due, t tally, mark []store.Mutation) (bool, error) {
	f.tried++
	how := f.manner[d.Domain.ASCII()]
	switch how {
	case nobody:
		return true, nil
	case later:
		return false, errLater
	case posts:
	default:
		if _, err := f.disk.Apply(ctx, store.Tx{Mutations: mark}, store.Durable); err != nil {
			return false, err
		}
	}
	f.told = append(f.told, telling{fmt.Sprintf("%s %s %d", d.Day.Format(dayFormat), d.Domain.ASCII(), t.N), how != posts, f.now()})
	if how == crashes {
		return false, context.Canceled
	}
	return true, nil
}

func (f *form) abouts() (out []string) {
	for _, t := range f.told {
		out = append(out, t.about)
	}
	slices.Sort(out)
	return out
}

// world is one server that counts and tells.
type world struct {
	t    interface{ Fatal(...any) }
	disk *disk
	now  time.Time
	room Room
	form *form
	most int
	*Reports[tally]
	log strings.Builder
}

func newWorld(t testing.TB) *world {
	st := mem.New()
	t.Cleanup(func() { _ = st.Close() })
	return worldOn(t, &disk{Store: st})
}

func worldOn(t interface{ Fatal(...any) }, d *disk) *world {
	w := &world{t: t, disk: d, now: midnight, room: Room{Domains: 100, Octets: 1 << 20, Rows: 100}, most: 100}
	w.form = &form{disk: d, manner: map[string]manner{}, now: func() time.Time { return w.now }}
	w.start()
	return w
}

// start is what a process does when it starts; what was only in memory is gone.
func (w *world) start() {
	w.Reports = NewReports(ReportsOptions[tally]{
		Store: w.disk, Room: w.room, Limits: DefaultLimits(), Now: func() time.Time { return w.now }, Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
		Kind: Kind[tally]{Name: "test", Counted: counted, Sent: sent, Merge: func(t *tally, o tally) { t.N += o.N }, Weight: func(t tally) int { return t.N }},
	})
	w.Adopt(w.form, w.most)
}

func (w *world) count(domain string) {
	w.Count(dom(w.t, domain), func(t *tally, room int) int {
		if t.N == 0 && room <= 0 {
			return 0
		}
		t.N++
		return 0
	})
}

// at sets the clock to a time after the first midnight.
func (w *world) at(days int, more time.Duration) {
	w.now = midnight.Add(time.Duration(days)*day + more)
}

// keys are what the store has below a prefix.
func (w *world) keys(prefix string) map[string]string {
	out := map[string]string{}
	must(w.t, w.disk.Store.Scan(context.Background(), store.Prefix([]byte(prefix)), func(k, v []byte) (bool, error) {
		out[strings.TrimPrefix(string(k), prefix)] = string(v)
		return true, nil
	}))
	return out
}

func (w *world) wantTold(t *testing.T, want ...string) {
	t.Helper()
	if got := w.form.abouts(); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// Days are UTC, a restart forgets nothing that was kept, and what several processes
// counted of one day is one report.
func TestDaysAreTold(t *testing.T) {
	w := newWorld(t)
	w.now = midnight.Add(-time.Minute).In(time.FixedZone("", 5*3600))
	w.count("a.test")
	w.at(0, 0)
	w.count("a.test")
	w.count("b.test")
	w.Flush(t.Context())
	w.start()
	w.count("a.test")
	w.Flush(t.Context())
	w.count("a.test") // lost: it was not kept
	w.start()
	for _, at := range []time.Duration{0, day - time.Second} {
		w.at(0, at)
		w.Send(t.Context())
		for _, told := range w.form.abouts() {
			if !strings.HasPrefix(told, "2026-03-01") {
				t.Errorf("after %s is told %q", at, told)
			}
		}
	}
	w.at(1, 5*time.Hour)
	w.Send(t.Context())
	w.wantTold(t, "2026-03-01 a.test 1", "2026-03-02 a.test 2", "2026-03-02 b.test 1")
	w.Send(t.Context())
	w.start()
	w.Send(t.Context())
	if len(w.form.told) != 3 || len(w.keys(counted)) != 0 {
		t.Errorf("told %q, kept %v", w.form.abouts(), w.keys(counted))
	}
}

// Each report waits for its own moment, which is some time after midnight and the same at
// each look, so that not all leave at once.
func TestReportsAreSpread(t *testing.T) {
	w := newWorld(t)
	for i := range 50 {
		w.count(fmt.Sprintf("d%d.test", i))
	}
	w.Flush(t.Context())
	l := DefaultLimits()
	w.at(1, 2*l.Flush-time.Second)
	w.Send(t.Context())
	if len(w.form.told) != 0 {
		t.Errorf("%d left at once", len(w.form.told))
	}
	w.at(1, l.Spread/2)
	w.Send(t.Context())
	if n := len(w.form.told); n < 10 || n > 40 {
		t.Errorf("%d of 50 left in half the time", n)
	}
	w.at(1, 2*l.Flush+l.Spread)
	w.Send(t.Context())
	if n := len(w.form.told); n != 50 {
		t.Errorf("%d of 50 left in all the time", n)
	}
}

// What cannot be told is tried until Retry is over, and given up then; what asks for none
// is forgotten at once.
func TestRetries(t *testing.T) {
	w := newWorld(t)
	w.form.manner = map[string]manner{"later.test": later, "none.test": nobody, "posts.test": posts}
	for _, d := range []string{"later.test", "none.test", "posts.test"} {
		w.count(d)
	}
	w.Flush(t.Context())
	for _, hours := range []int{5, 12, 23} {
		w.at(1, time.Duration(hours)*time.Hour)
		w.Send(t.Context())
		if kept := slices.Collect(maps.Keys(w.keys(counted))); !slices.Equal(kept, []string{"2026-03-02/later.test"}) {
			t.Errorf("after %d hours are kept %q", hours, kept)
		}
	}
	w.at(2, -time.Second)
	w.form.manner["later.test"] = takes
	w.Send(t.Context())
	w.wantTold(t, "2026-03-02 later.test 1", "2026-03-02 posts.test 1")

	w.form.manner["later.test"] = later
	w.at(2, 0)
	w.count("later.test")
	w.Flush(t.Context())
	w.at(4, -time.Second)
	w.Send(t.Context())
	if len(w.keys(counted)) != 1 {
		t.Error("it is given up too early")
	}
	// Nobody tried it before.
	w.at(4, 19*time.Hour)
	w.Send(t.Context())
	if len(w.keys(counted)) != 1 {
		t.Error("it is given up before it was tried for long")
	}
	w.at(5, 0)
	w.Send(t.Context())
	if len(w.keys(counted)) != 0 {
		t.Error("it is not given up")
	}
}

// A clock that is set ahead by years makes nothing old: what is over by it is tried for as long as ever. And of days without
// number, as a clock that is set all the time makes, no more than some are kept.
func TestAClockThatIsSetAhead(t *testing.T) {
	w := newWorld(t)
	passed := w.now
	w.Reports.o.Passed = func() time.Time { return passed }
	w.form.manner = map[string]manner{"later.test": later}
	w.count("later.test")
	w.Flush(t.Context())
	w.at(3650, 0)
	for range 20 {
		w.Send(t.Context())
		passed = passed.Add(time.Hour)
	}
	if len(w.keys(counted)) != 1 {
		t.Error("it is given up by the clock alone")
	}
	passed = passed.Add(4 * time.Hour)
	w.Send(t.Context())
	if len(w.keys(counted)) != 0 || len(w.tried) != 0 {
		t.Error("it is not given up")
	}
	for i := range 2 * daysKept {
		w.at(4000+i, 0)
		w.count("later.test")
		w.count("other.test")
		w.Flush(t.Context())
	}
	w.form.manner["other.test"] = later
	w.at(5000, 0)
	w.Send(t.Context())
	if n := len(w.keys(counted)); n != 2*daysKept || len(w.tried) != n {
		t.Errorf("%d are kept", n)
	}
}

// As many reports leave in a day as may; the rest go on the next, the oldest first. How
// many left is known for a week.
func TestADayHasItsReports(t *testing.T) {
	w := newWorld(t)
	w.most = 2
	w.start()
	for i := range 5 {
		w.count(fmt.Sprintf("d%d.test", i))
	}
	w.Flush(t.Context())
	w.at(1, 5*time.Hour)
	w.Send(t.Context())
	w.start()
	w.Send(t.Context())
	if strings.Count(w.log.String(), "a report is not sent") != 2 {
		t.Errorf("each look says %s", w.log.String())
	}
	if len(w.form.told) != 2 || w.keys(sent)["2026-03-03"] != "2" {
		t.Errorf("%d left, noted %v", len(w.form.told), w.keys(sent))
	}
	w.at(1, 6*time.Hour)
	w.count("new.test")
	w.Flush(t.Context())
	w.at(2, 5*time.Hour)
	w.Send(t.Context())
	if len(w.form.told) != 4 || strings.Contains(strings.Join(w.form.abouts(), " "), "new") {
		t.Errorf("told %q", w.form.abouts())
	}
	must(t, w.put(sent+"2026-03-04", "many"))
	w.Send(t.Context())
	if len(w.form.told) != 4 || !strings.Contains(w.log.String(), "a report is not sent") {
		t.Errorf("it is not known how many left, and %d are told", len(w.form.told))
	}
	must(t, w.put(sent+"2026-03-04", "0"))
	for at, want := range map[int][]string{9: {"2026-03-04", "2026-03-11"}, 11: {"2026-03-13"}} {
		w := newWorld(t)
		for _, d := range []string{"2026-03-03", "2026-03-04"} {
			must(t, w.put(sent+d, "1"))
		}
		w.at(at-1, 0)
		w.count("x.test")
		w.Flush(t.Context())
		w.at(at-1, day+5*time.Hour)
		w.Send(t.Context())
		noted := slices.Sorted(maps.Keys(w.keys(sent)))
		if !slices.Equal(noted, want) {
			t.Errorf("on day %d is noted %v", at, noted)
		}
	}
}

func (w *world) put(key, value string) error {
	_, err := w.disk.Store.Apply(context.Background(), store.Tx{Mutations: []store.Mutation{{Key: []byte(key), Value: []byte(value)}}}, store.Durable)
	return err
}

// Memory and store hold what they may, and the log says how much is lost.
func TestRoom(t *testing.T) {
	w := newWorld(t)
	w.room.Domains = 3
	w.start()
	for _, d := range []string{"a.test", "b.test", "c.test", "d.test", "a.test"} {
		w.count(d) // d has no room in memory
	}
	if len(w.fresh.of) != 3 {
		t.Errorf("%d domains are in memory", len(w.fresh.of))
	}
	w.Flush(t.Context())
	if !strings.Contains(w.log.String(), "count=1") || len(w.keys(counted)) != 3 {
		t.Errorf("kept %v, said %s", w.keys(counted), w.log.String())
	}
	w.log.Reset()
	for _, d := range []string{"e.test", "e.test", "b.test"} {
		w.count(d) // e has none in the store
	}
	w.Flush(t.Context())
	if !strings.Contains(w.log.String(), "count=2") || w.keys(counted)["2026-03-02/b.test"] != `{"N":2}` || len(w.keys(counted)) != 3 {
		t.Errorf("kept %v, said %s", w.keys(counted), w.log.String())
	}
	w.at(1, 0) // another day has its own
	w.count("d.test")
	w.count("e.test")
	w.Flush(t.Context())
	w.count("f.test")
	w.count("g.test")
	w.Flush(t.Context())
	if len(w.keys(counted)) != 6 {
		t.Errorf("kept %v", w.keys(counted))
	}
	w.at(2, 0)
	w.room = Room{Domains: 9, Octets: 2 * int64(len(`{"N":1}`)), Rows: 100}
	w.start()
	for _, flush := range [][]string{{"a.test"}, {"a.test"}, {"b.test", "c.test"}, {"a.test", "b.test"}} {
		for _, d := range flush {
			w.count(d)
		}
		w.Flush(t.Context())
	}
	for range 10 {
		w.count("a.test") // one octet too many
	}
	w.Flush(t.Context())
	n := 0
	for key, v := range w.keys(counted) {
		if strings.HasPrefix(key, "2026-03-04/") {
			n += len(v)
		}
	}
	if n != 2*len(`{"N":1}`) || w.keys(counted)["2026-03-04/a.test"] != `{"N":3}` {
		t.Errorf("kept %v", w.keys(counted))
	}
}

func TestRowsInMemory(t *testing.T) {
	w := newWorld(t)
	w.room.Rows = 5
	w.start()
	var rooms []int
	take := func(n int) {
		w.Count(dom(t, "a.test"), func(_ *tally, room int) int {
			rooms = append(rooms, room)
			return n
		})
	}
	take(2)
	take(3)
	take(0)
	w.Flush(t.Context())
	take(0)
	if !slices.Equal(rooms, []int{5, 3, 0, 5}) {
		t.Errorf("there was room for %v", rooms)
	}
}

// Without somebody who answers for reports nothing is counted, and what was is neither
// told nor forgotten.
func TestWhileNobodyAnswers(t *testing.T) {
	w := newWorld(t)
	w.count("a.test")
	w.Adopt(nil, 0)
	w.count("a.test")
	w.Flush(t.Context())
	w.at(1, 5*time.Hour)
	w.Send(t.Context())
	if len(w.form.told) != 0 || w.keys(counted)["2026-03-02/a.test"] != `{"N":1}` {
		t.Errorf("told %q, kept %v", w.form.abouts(), w.keys(counted))
	}
	w.Adopt(w.form, 1)
	w.Count(mail.Domain{}, func(*tally, int) int { t.Error("nobody's is counted"); return 0 })
	w.Send(t.Context())
	w.wantTold(t, "2026-03-02 a.test 1")
}

// What cannot be read is begun anew, or forgotten when it would be told; a disk that fails
// costs a look, and what is counted meanwhile.
func TestDamageAndAFailingDisk(t *testing.T) {
	w := newWorld(t)
	must(t, w.put(counted+"2026-03-02/a.test", "{"))
	w.count("a.test")
	w.Flush(t.Context())
	must(t, w.put(counted+"2026-03-02/b.test", "{"))
	must(t, w.put(counted+"2026-03-02/", "{}"))
	must(t, w.put(counted+"2026-02-30/a.test", "{}"))
	must(t, w.put(counted+"2026-03-02/c.test", `{"N":1}`))
	w.at(1, 5*time.Hour)
	w.disk.fails = errDisk
	w.Send(t.Context())
	w.count("a.test")
	w.Flush(t.Context())
	if len(w.form.told) != 0 || !strings.Contains(w.log.String(), "the disk fails") {
		t.Errorf("told %q", w.form.abouts())
	}
	w.disk.fails = nil
	w.Send(t.Context())
	w.wantTold(t, "2026-03-02 a.test 1", "2026-03-02 c.test 1")
	if kept := w.keys(counted); len(kept) != 0 {
		t.Errorf("kept %v", kept)
	}
}

// Run keeps what was counted every minute and when it ends, and tells what is due.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		start := time.Now()
		w.Reports.o.Now = func() time.Time { return w.now.Add(time.Since(start)) }
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.Run(ctx)
		}()
		w.count("a.test")
		time.Sleep(DefaultLimits().Flush + time.Second)
		if len(w.keys(counted)) != 1 {
			t.Error("nothing is kept after a minute")
		}
		time.Sleep(day + 5*time.Hour)
		synctest.Wait()
		if got := w.form.abouts(); len(got) != 1 {
			t.Errorf("told %q", got)
		}
		w.count("b.test")
		stop()
		<-done
		if len(w.keys(counted)) != 1 {
			t.Error("what was counted last is not kept")
		}
	})
}

// What is on its way into the store when a server ends arrives there: it is nowhere else.
func TestWhatIsBeingKeptWhenAServerEnds(t *testing.T) {
	w := newWorld(t)
	w.count("a.test")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	w.Flush(ctx)
	if got := w.keys(counted); len(got) != 1 {
		t.Errorf("kept: %q\n%s", got, w.log.String())
	}
}

// The names of a report are those that both RFCs ask for, and its text stands in short
// lines, however long the domains are.
func TestNames(t *testing.T) {
	d := Due{Domain: dom(t, "far.test"), Day: midnight, key: "k"}
	if got := d.File("local.test", "u", "xml"); got != "local.test!far.test!1772409600!1772495999!u.xml.gz" {
		t.Error(got)
	}
	if got := d.Subject("local.test", "u@local.test"); got != "Report Domain: far.test\r\n Submitter: local.test\r\n Report-ID: <u@local.test>" {
		t.Error(got)
	}
	if a, b := d.ID("x"), d.ID("y"); a == b || a != d.ID("x") || len(a) != 32 || a == (Due{key: "l"}).ID("x") {
		t.Errorf("%s and %s", a, b)
	}
	long := dom(t, strings.Repeat("a-label-of-a-domain.", 11)+"test")
	d.Domain = long
	for _, by := range []string{"sallyport.example.com", long.ASCII()} {
		p := d.Text("mail in the name of", by, "RFC 9990")
		if p.Base64 || !strings.Contains(string(p.Data), "\r\non 2026-03-02 (UTC), as RFC 9990 describes it.\r\n") {
			t.Errorf("%+v", p)
		}
		if _, err := parts(Mail{Parts: []Part{p}}, "x"); err != nil {
			t.Errorf("by %s: %v", by, err)
		}
	}
}

// The mechanism follows its model whatever days, crashes, failures and destinations come:
// what was kept of a day is told once at most, whole, when the day is over and not when
// Retry is; not more leave as mail in a day than may; and what can be told in time is.
func TestReportsFollowTheirModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := mem.New()
		defer func() { _ = st.Close() }()
		w := worldOn(t, &disk{Store: st})
		w.most = rapid.IntRange(1, 6).Draw(t, "most")
		w.start()
		domains := []string{"a.test", "b.test", "c.test", "d.test"}
		kept, fresh := map[string]int{}, map[string]int{}
		flush := func() {
			w.Flush(context.Background())
			if w.disk.fails == nil {
				for k, n := range fresh {
					kept[k] += n
				}
			}
			clear(fresh)
		}
		check := func() {
			mails := map[string]int{}
			seen := map[string]bool{}
			for _, told := range w.form.told {
				f := strings.Fields(told.about)
				key := f[0] + " " + f[1]
				began, err := time.Parse(dayFormat, f[0])
				must(t, err)
				if seen[key] {
					t.Fatalf("%s is told twice", key)
				}
				seen[key] = true
				if age := told.at.Sub(began.Add(day)); age < 2*DefaultLimits().Flush {
					t.Fatalf("%s is told %s after its day", key, age)
				}
				if want := fmt.Sprint(kept[key]); f[2] != want {
					t.Fatalf("%s is told as %s of %s", key, f[2], want)
				}
				if told.mails {
					mails[told.at.Format(dayFormat)]++
				}
			}
			for at, n := range mails {
				if n > w.most {
					t.Fatalf("%d left on %s, where %d may", n, at, w.most)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"count": func(t *rapid.T) {
				d := rapid.SampledFrom(domains).Draw(t, "domain")
				w.count(d)
				fresh[w.now.Format(dayFormat)+" "+d]++
			},
			"pass": func(t *rapid.T) {
				// As Run does: what was counted is kept before much time has passed.
				pass := time.Duration(rapid.IntRange(1, 40*60).Draw(t, "minutes")) * time.Minute
				w.now = w.now.Add(DefaultLimits().Flush)
				flush()
				w.now = w.now.Add(pass - DefaultLimits().Flush)
			},
			"crash": func(*rapid.T) {
				clear(fresh)
				w.start()
			},
			"fail": func(t *rapid.T) {
				w.disk.fails = rapid.SampledFrom([]error{nil, errDisk}).Draw(t, "disk")
			},
			"manner": func(t *rapid.T) {
				w.form.manner[rapid.SampledFrom(domains).Draw(t, "domain")] = manner(rapid.IntRange(0, int(later)).Draw(t, "manner"))
			},
			"send": func(*rapid.T) { w.Send(context.Background()) },
			"":     func(*rapid.T) { check() },
		})
		// In the end everything that is due can be told, some days long.
		w.disk.fails = nil
		clear(w.form.manner)
		last := w.now
		flush()
		for range 300 {
			w.now = w.now.Add(day)
			w.Send(context.Background())
			check()
		}
		if left := w.keys(counted); len(left) != 0 {
			t.Fatalf("since %s nothing failed, and there are kept %v", last, left)
		}
	})
}
