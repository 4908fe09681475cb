package quota

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/budget/inflow"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// site is mailboxes in memory, and a Keeper over them.
type site struct {
	*Keeper
	t  fataler
	st store.Store
	at atomic.Int64 // seconds

	mu    sync.Mutex
	boxes map[string]Usage
	looks int
	fails error
	slow  chan struct{}
	quota map[string]Quota // by account, or "@domain"
	queue map[string]Usage // what waits, by account
}

type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func newSite(t fataler) *site {
	s := &site{t: t, st: mem.New(), boxes: map[string]Usage{}, quota: map[string]Quota{}, queue: map[string]Usage{}}
	s.at.Store(1_800_000_000)
	s.begin()
	return s
}

func (s *site) now() time.Time { return time.Unix(s.at.Load(), 0).UTC() }

func (s *site) pass(d time.Duration) { s.at.Add(int64(d / time.Second)) }

func (s *site) begin() {
	s.t.Helper()
	k, err := Open(context.Background(), s.st, Options{
		Count: s.count, Waiting: s.waiting, Accounts: s.accounts, Limits: DefaultLimits(), Now: s.now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	k.Adjust(Policy{Of: func(a mail.Address) (Quota, Quota) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.quota[a.String()].Or(None()), s.quota["@"+a.Domain().String()].Or(None())
	}, Warn: 90, Clear: 80, Grace: 50})
	s.Keeper = k
}

func (s *site) count(ctx context.Context, a mail.Address) (Usage, error) {
	s.mu.Lock()
	slow := s.slow
	s.looks++
	u, err := s.boxes[a.String()], s.fails
	s.mu.Unlock()
	if slow != nil {
		select {
		case <-slow:
		case <-ctx.Done():
		}
	}
	return u, err
}

func (s *site) waiting(a mail.Address) (its, domain Usage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for of, u := range s.queue {
		if _, d, _ := strings.Cut(of, "@"); d == a.Domain().String() {
			domain = domain.plus(u)
		}
	}
	return s.queue[a.String()], domain
}

// sends puts a message into the queue, and arrives takes it into its mailbox.
func (s *site) sends(a string, octets int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue[a] = s.queue[a].plus(Usage{octets, 1})
}

func (s *site) arrives(a string, octets int64) {
	s.add(a, octets)
	s.Delivered(s.addr(a), octets)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue[a] = s.queue[a].minus(Usage{octets, 1})
}

func (s *site) accounts(context.Context) (all []mail.Address, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a := range s.boxes {
		all = append(all, s.addr(a))
	}
	return all, nil
}

func (s *site) addr(text string) mail.Address {
	s.t.Helper()
	a, err := mail.ParseAddress(text, mail.ASCII)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// holds says what a mailbox holds, by whoever put it there.
func (s *site) holds(a string, octets, messages int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.boxes[a] = Usage{octets, messages}
}

func (s *site) add(a string, octets int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.boxes[a] = s.boxes[a].plus(Usage{octets, 1})
}

func (s *site) takes(a string, octets int64) (inflow.Held, inflow.Verdict) {
	return s.Take(context.Background(), s.addr(a), octets)
}

const (
	alice = "alice@local.test"
	bob   = "bob@local.test"
)

// Whoever adds, by whatever way and in whatever order it comes to an end, a mailbox and a domain
// never hold more than they may, but for what was not declared, by the grace; what is given up is
// free again; and when all is over what is known is what is there.
func TestNothingPassesAQuota(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSite(t)
		s.quota[alice], s.quota[bob] = Quota{1000, 20}, Quota{Octets: 800}
		s.quota["@local.test"] = Quota{1500, 30}
		type message struct {
			of     string
			hold   *Hold
			size   int64 // that was declared
			octets int64 // that it has by now
			sent   bool
		}
		var open []message
		most := map[string]Usage{alice: {1050, 20}, bob: {850, 1 << 40}, "": {1550, 30}}
		check := func() {
			t.Helper()
			s.mu.Lock()
			defer s.mu.Unlock()
			all := s.boxes[alice].plus(s.boxes[bob])
			for name, is := range map[string]Usage{alice: s.boxes[alice], bob: s.boxes[bob], "": all} {
				if is.Octets > most[name].Octets || is.Messages > most[name].Messages {
					t.Fatalf("%q holds %+v", name, is)
				}
			}
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			a := rapid.SampledFrom([]string{alice, bob}).Draw(t, "account")
			which := func() int { return rapid.IntRange(0, len(open)-1).Draw(t, "which") }
			drop := func(i int) { open = append(open[:i], open[i+1:]...) }
			switch step := rapid.SampledFrom([]string{"take", "take", "take", "more", "sent", "arrives", "arrives", "give", "append", "remove", "pass", "restart"}).Draw(t, "step"); {
			case step == "take":
				octets := int64(rapid.IntRange(0, 300).Draw(t, "octets"))
				if h, v := s.takes(a, octets); v.OK {
					open = append(open, message{a, h.(*Hold), octets, 1, false})
				}
			case step == "append":
				octets := int64(rapid.IntRange(1, 300).Draw(t, "octets"))
				if h, v := s.Add(context.Background(), s.addr(a), Usage{octets, 1}); v.OK {
					s.add(a, octets)
					h.End(true)
					h.End(false)
				}
			case step == "remove":
				s.mu.Lock()
				s.boxes[a] = Usage{s.boxes[a].Octets / 2, s.boxes[a].Messages / 2}
				s.mu.Unlock()
				if rapid.Bool().Draw(t, "by a program of ours") {
					s.Left(s.addr(a))
				}
			case step == "pass":
				s.pass(time.Duration(rapid.IntRange(1, 100).Draw(t, "seconds")) * time.Second)
			case len(open) == 0:
			case step == "more":
				i := which()
				more := open[i].octets + int64(rapid.IntRange(1, 100).Draw(t, "octets"))
				if rapid.Bool().Draw(t, "all that was declared") {
					more = max(open[i].size, open[i].octets)
				}
				if !open[i].sent && open[i].hold.More(more).OK {
					open[i].octets = more
				}
			case step == "sent":
				if i := which(); !open[i].sent {
					s.sends(open[i].of, open[i].octets)
					open[i].hold.Sent()
					open[i].sent = true
				}
			case step == "arrives":
				if i := which(); open[i].sent {
					s.arrives(open[i].of, open[i].octets)
					drop(i)
				}
			case step == "give":
				if i := which(); !open[i].sent {
					open[i].hold.Give()
					drop(i)
				}
			case step == "restart":
				s.Close()
				s.begin()
				var kept []message
				for _, m := range open {
					if m.sent { // else it fell with the connection
						kept = append(kept, m)
					}
				}
				open = kept
			}
			check()
		}
		for _, m := range open {
			if m.sent {
				s.arrives(m.of, m.octets)
			} else {
				m.hold.Give()
			}
		}
		check()
		s.pass(time.Hour)
		for _, a := range []string{alice, bob} {
			is, err := s.Of(context.Background(), s.addr(a))
			if err != nil || is.Used != s.boxes[a] {
				t.Fatalf("%s holds %+v, and is said to hold %+v, %v", a, s.boxes[a], is.Used, err)
			}
		}
		if l := s.domains["local.test"]; l != nil && (l.way != (Usage{}) || l.used != s.boxes[alice].plus(s.boxes[bob])) {
			t.Fatalf("the domain %+v", l)
		}
	})
}

// A thousand messages at once for a mailbox with room for ten: those that come first are let in,
// and whoever declares much and sends nothing keeps nobody out.
func TestManyAtOnce(t *testing.T) {
	s := newSite(t)
	s.quota[alice] = Quota{Octets: 11_045} // each of the thousand has one octet for a moment
	for range 50 {
		if _, v := s.takes(alice, 9000); !v.OK {
			t.Fatal(v)
		}
	}
	var in atomic.Int64
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			h, v := s.takes(alice, 1000)
			if v.OK && h.More(1000).OK {
				in.Add(1)
				return
			}
			h.Give()
		})
	}
	all.Wait()
	if in.Load() != 10 || s.looks > 3 {
		t.Errorf("%d are let in, after %d looks", in.Load(), s.looks)
	}
}

// What who is refused is told, and what stands in the trace.
func TestVerdicts(t *testing.T) {
	s := newSite(t)
	s.quota[alice], s.quota["@local.test"] = Quota{Octets: 100 << 20}, Quota{Messages: 5}
	refused := func(a string, octets int64, reply, found string) {
		t.Helper()
		h, v := s.takes(a, octets)
		h.Give()
		if got := v.Reply().String(); v.OK || got != reply || !strings.Contains(v.Words(), found) {
			t.Errorf("%s, %s", got, v.Words())
		}
	}
	s.holds(alice, 95<<20, 3)
	refused(alice, 200<<20, "552 5.2.3 the message is larger than this mailbox may hold (mailbox-quota)", "")
	refused(alice, 6<<20, "452 4.2.2 this mailbox is full (mailbox-quota); try again later", "this mailbox: it holds 95 MiB in 3 messages and may hold 100 MiB")
	first, v := s.takes(alice, 4<<20)
	if !v.OK || !first.More(4<<20).OK {
		t.Fatal(v)
	}
	refused(alice, 2<<20, "452 4.2.2 this mailbox is full (mailbox-quota); try again later", "; on its way: 4 MiB in 1 message")
	// A clock that is set ahead refuses nobody for good.
	age := s.o.Age
	s.o.Age = func(time.Time) time.Duration { return 0 }
	s.pass(10 * 365 * 24 * time.Hour)
	refused(alice, 6<<20, "452 4.2.2 this mailbox is full (mailbox-quota); try again later", "")
	s.pass(-10 * 365 * 24 * time.Hour)
	s.o.Age = age
	s.pass(3*24*time.Hour - time.Minute)
	refused(alice, 6<<20, "452 4.2.2 this mailbox is full (mailbox-quota); try again later", "")
	s.pass(2 * time.Minute)
	refused(alice, 6<<20, "552 5.2.2 this mailbox is full (mailbox-quota), and has been for days; reach its owner in another way", "")
	first.Give()
	s.holds(alice, 10<<20, 3) // its owner made room
	s.pass(11 * time.Second)
	if _, v := s.takes(alice, 6<<20); !v.OK {
		t.Error(v)
	}
	s.tell(context.Background(), func(context.Context, Warning) error { return nil })
	s.holds(alice, 95<<20, 3)
	s.pass(time.Hour)
	refused(alice, 6<<20, "452 4.2.2 this mailbox is full (mailbox-quota); try again later", "")
	if _, v := s.takes(bob, 1); !v.OK {
		t.Error(v)
	}
	refused(bob, 1, "452 4.2.2 all mailboxes of this domain together are full (domain-quota); try again later", "5 messages")
	if _, v := s.takes("eve@free.test", 1<<50); !v.OK {
		t.Error(v)
	}
	s.mu.Lock()
	s.fails = errors.New("no disk")
	s.mu.Unlock()
	s.pass(time.Hour)
	refused(alice, 1, "451 4.3.0 it is not known now how full this mailbox is (mailbox-uncounted); try again later", "")
	k, err := Open(t.Context(), mem.New(), Options{Count: s.count, Limits: DefaultLimits(), Now: s.now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, v := k.Take(t.Context(), s.addr(alice), 1); v.OK || v.Reply().Code != 451 {
		t.Errorf("without a policy: %+v", v)
	}
	if !(Quota{}).over(Usage{1, 0}) || !(Quota{}).over(Usage{0, 1}) || (Quota{}).Share(Usage{}) != 100 || (inflow.Verdict{}).OK {
		t.Error("the zero Quota has room")
	}
}

// Whoever waits too long for a look is told to come again, and the look goes on, once.
func TestASlowLook(t *testing.T) {
	s := newSite(t)
	s.o.Limits.Wait = 20 * time.Millisecond
	s.quota[alice] = Quota{Octets: 10_000}
	s.slow = make(chan struct{})
	for range 3 {
		if _, v := s.takes(alice, 1); v.Rule != inflow.RuleUncounted {
			t.Fatal(v)
		}
	}
	close(s.slow)
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, v := s.takes(alice, 1); v.OK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is never known")
		}
	}
	if s.looks != 1 {
		t.Errorf("%d looks", s.looks)
	}
}

// The owner is told once, also over a restart and under another name, and again only after the
// mailbox had been emptier; where nobody takes the letter, or it fails, it is tried again.
func TestTheOwnerIsToldOnce(t *testing.T) {
	s := newSite(t)
	s.quota[alice], s.quota["@local.test"] = Quota{1000, 100}, Quota{Octets: 1 << 40}
	var told []string
	var fails error
	run := func() {
		t.Helper()
		s.pass(2 * time.Minute)
		if err := s.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.tell(t.Context(), func(ctx context.Context, w Warning) error {
			if fails != nil {
				return fails
			}
			told = append(told, w.Account.String()+": "+w.Subject)
			if len(w.Text) < 200 || strings.Contains(strings.ToLower(w.Text), "http") {
				t.Errorf("%q", w.Text)
			}
			_, err := s.st.Apply(ctx, store.Tx{Mutations: w.Marks}, store.Durable)
			return err
		})
	}
	expect := func(when string, want ...string) {
		t.Helper()
		if strings.Join(told, "|") != strings.Join(want, "|") {
			t.Errorf("%s: told %q", when, told)
		}
		told = nil
	}
	const letter = alice + ": The mailbox of " + alice + " holds 90 % of what is allowed"
	s.holds(alice, 899, 1)
	run()
	expect("below the mark")
	s.holds(alice, 900, 1)
	fails = errors.New("no store")
	run()
	fails = ErrNobody
	run()
	expect("that fails")
	fails = nil
	s.holds(alice, 901, 1)
	run()
	expect("at the mark", letter)
	run()
	s.Close()
	s.begin()
	run()
	s.holds(alice, 800, 1)
	run()
	s.holds(alice, 950, 1)
	run()
	expect("once, over a restart, and in between")
	s.holds(alice, 799, 1)
	run()
	s.Close()
	s.begin()
	s.holds(alice, 10, 90)
	run()
	expect("again, of messages", letter)
	share, err := s.Moving(s.addr(alice), s.addr(bob))(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.st.Apply(t.Context(), store.Tx{Mutations: share.Mutations}, store.Durable); err != nil || share.Done(nil) != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	delete(s.boxes, alice)
	s.mu.Unlock()
	s.quota[bob] = Quota{1000, 100}
	s.holds(bob, 10, 90)
	run()
	s.Close()
	s.begin()
	run()
	expect("under another name")
	s.quota["@local.test"] = Quota{Messages: 100}
	s.holds(bob, 10, 91)
	run()
	expect("of the domain", ": The mailboxes of local.test together hold 91 % of what is allowed")
	all, nearly, full := s.Filled()
	if len(all) != 2 || nearly != 2 || full != 0 || all[0].Account != bob && all[1].Account != bob {
		t.Errorf("%+v, %d, %d", all, nearly, full)
	}
}

// What does not read costs a letter at most, and what no account has any more is forgotten.
func TestWhatIsKept(t *testing.T) {
	s := newSite(t)
	s.quota[alice] = Quota{Octets: 1000}
	s.holds(alice, 10, 1)
	if err := s.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys := func() (all []string) {
		err := s.st.Scan(t.Context(), store.SpaceQuota.All(), func(k, _ []byte) (bool, error) {
			all = append(all, string(k))
			return true, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if len(keys()) != 2 {
		t.Errorf("%q", keys())
	}
	s.mu.Lock()
	s.boxes = map[string]Usage{}
	s.mu.Unlock()
	s.pass(time.Hour)
	if err := errors.Join(s.sweep(t.Context()), s.sweep(t.Context())); err != nil {
		t.Fatal(err)
	}
	if all := keys(); len(all) != 1 || all[0] != "quota/domain/local.test" || len(s.lines) != 0 {
		t.Errorf("%q, %d lines", all, len(s.lines))
	}
	for _, k := range []string{"account/alice@local.test", "account/nonsense", "other/x", "domain/..", "x"} {
		if _, err := s.st.Apply(t.Context(), store.Tx{Mutations: []store.Mutation{{Key: store.SpaceQuota.Key([]byte(k)), Value: []byte("{")}}}, store.Durable); err != nil {
			t.Fatal(err)
		}
	}
	s.begin()
	if _, v := s.takes(alice, 10); !v.OK {
		t.Error(v)
	}
	// What was accepted takes its room for as long as it waits, once, and is free when it went another way.
	h, v := s.takes(alice, 900)
	if !v.OK {
		t.Fatal(v)
	}
	if v = h.More(900); !v.OK {
		t.Fatal(v)
	}
	s.sends(alice, 900)
	h.Sent()
	h.Give()
	s.holds(alice, 10, 1)
	s.pass(time.Minute)
	first, v := s.takes(alice, 80)
	if err := s.write(t.Context()); err != nil || !v.OK {
		t.Error(err, v)
	}
	first.Give()
	// Its mailbox is found empty, and what was kept of it is written: the mail still counts.
	s.holds(alice, 0, 0)
	s.pass(time.Minute)
	_, v = s.takes(alice, 1)
	if err := s.write(t.Context()); err != nil || !v.OK {
		t.Error(err, v)
	}
	s.pass(1000 * time.Hour)
	if _, v := s.takes(alice, 900); v.OK {
		t.Error("what waits does not count")
	}
	s.mu.Lock()
	s.queue[alice] = Usage{}
	s.mu.Unlock()
	if _, v := s.takes(alice, 900); !v.OK {
		t.Error(v)
	}
}
