package accounts

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/mail"
	"sallyport/internal/store/mem"
)

// model is what an account ought to be.
type model struct {
	exists, frozen bool
	password       int
}

// Whatever happened before, a sign-in succeeds exactly when the account exists,
// is active, and the password is the one last set: caches, joined sign-ins and
// restarts change nothing about it.
func TestLifeCycle(t *testing.T) {
	ctx := context.Background()
	names := []string{"alice@local.test", "bob@local.test"}
	rapid.Check(t, func(t *rapid.T) {
		st := mem.New()
		clk := newClock()
		reopen := func() *Identity {
			id, err := Open(ctx, st, Options{Limits: laxLimits(), Now: clk.Now})
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		id := reopen()
		models := map[string]*model{names[0]: {}, names[1]: {}}
		pick := func(t *rapid.T) (mail.Address, *model) {
			name := rapid.SampledFrom(names).Draw(t, "name")
			a, _ := mail.ParseAddress(name, mail.UTF8)
			return a, models[name]
		}
		draw := func(t *rapid.T) int { return rapid.IntRange(0, 2).Draw(t, "password") }
		done := func(t *rapid.T, what string, err error, want bool) bool {
			if (err == nil) != want {
				t.Fatalf("%s: %v, want success %v", what, err, want)
			}
			return want
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				a, m := pick(t)
				p := draw(t)
				_, err := id.Add(ctx, a, passwordNo(p), Sending{Role: RolePerson}, nil)
				if done(t, "Add", err, !m.exists) {
					*m = model{exists: true, password: p}
				}
			},
			"password": func(t *rapid.T) {
				a, m := pick(t)
				p := draw(t)
				_, err := id.SetPassword(ctx, a, passwordNo(p), nil)
				if done(t, "SetPassword", err, m.exists) {
					m.password = p
				}
			},
			"freeze": func(t *rapid.T) {
				a, m := pick(t)
				_, err := id.Freeze(ctx, a, "why", nil)
				m.frozen = done(t, "Freeze", err, m.exists)
			},
			"thaw": func(t *rapid.T) {
				a, m := pick(t)
				_, err := id.Thaw(ctx, a, nil)
				m.frozen = m.frozen && !done(t, "Thaw", err, m.exists)
			},
			"remove": func(t *rapid.T) {
				a, m := pick(t)
				done(t, "Remove", id.Remove(ctx, a, nil), m.exists)
				*m = model{}
			},
			"sign in": func(t *rapid.T) {
				a, m := pick(t)
				p := draw(t)
				acc, err := id.SignIn(ctx, a.String(), passwordNo(p), peerN(rapid.IntRange(0, 2).Draw(t, "net")))
				if done(t, "SignIn", err, m.exists && !m.frozen && m.password == p) && acc.Address.Key() != a.Key() {
					t.Fatalf("signed in as %v", acc.Address)
				}
			},
			"time":    func(t *rapid.T) { clk.advance(time.Duration(rapid.IntRange(0, 400).Draw(t, "seconds")) * time.Second) },
			"restart": func(t *rapid.T) { id = reopen() },
			"": func(t *rapid.T) {
				for name, m := range models {
					a, _ := mail.ParseAddress(name, mail.UTF8)
					acc, ok := id.Lookup(a)
					if ok != m.exists || ok && (acc.Standing == StandingFrozen) != m.frozen {
						t.Fatalf("%s is %+v %v, want %+v", name, acc, ok, m)
					}
				}
			},
		})
	})
}

func passwordNo(n int) string { return fmt.Sprintf("password number %d", n) }

// The memory of passwords against a map without a bound.
func TestMemo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const ttl = 100 * time.Second
		m := newMemo(4, ttl)
		type put struct {
			at, order int
		}
		model := map[int]put{}
		now, order := 0, 0
		clk := func() time.Time { return time.Unix(1_700_000_000+int64(now), 0) }
		key := func(n int) memoKey { return memoKeyOf([]byte("k"), account(n), 1, fmt.Sprint(n)) }
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				n := rapid.IntRange(0, 9).Draw(t, "n")
				order++
				m.put(key(n), account(n), clk())
				model[n] = put{now, order}
			},
			"drop": func(t *rapid.T) {
				n := rapid.IntRange(0, 9).Draw(t, "n")
				m.drop(account(n))
				for k := range model {
					if account(k) == account(n) {
						delete(model, k)
					}
				}
			},
			"time": func(t *rapid.T) { now += rapid.IntRange(0, 60).Draw(t, "s") },
			"": func(t *rapid.T) {
				if len(m.entries) > 4 || m.byAge.Len() != len(m.entries) {
					t.Fatalf("%d entries, %d in order", len(m.entries), m.byAge.Len())
				}
				for n := range 10 {
					p, ok := model[n]
					got := m.has(key(n), clk())
					if got && (!ok || now-p.at >= 100) {
						t.Fatalf("%d is remembered", n)
					}
					if !got && ok && now-p.at < 100 && order-p.order < 4 {
						t.Fatalf("%d is forgotten", n)
					}
				}
			},
		})
	})
}

func account(n int) string { return fmt.Sprint("account", n%3) }

func TestMemoKeysAreInjective(t *testing.T) {
	k := []byte("key")
	seen := map[memoKey]string{}
	for _, c := range []struct {
		account  string
		revision uint64
		password string
	}{{"ab", 1, "c"}, {"a", 1, "bc"}, {"abc", 1, ""}, {"", 1, "abc"}, {"ab", 2, "c"}, {"ab", 256, "c"}, {"ab\x00", 1, "c"}} {
		m := memoKeyOf(k, c.account, c.revision, c.password)
		if other, ok := seen[m]; ok {
			t.Errorf("%v and %s share a key", c, other)
		}
		seen[m] = fmt.Sprint(c)
	}
	if memoKeyOf(k, "a", 1, "p") == memoKeyOf([]byte("other"), "a", 1, "p") || memoKeyOf(k, "a", 1, "p") == memoKeyOf(k, "a", 1, "p", []byte{}) {
		t.Error("the key or the context makes no difference")
	}
}

func TestMemoWhenTheClockGoesBack(t *testing.T) {
	m := newMemo(4, time.Minute)
	k := memoKeyOf([]byte("k"), "a", 1, "p")
	now := time.Unix(1_700_000_000, 0)
	m.put(k, "a", now)
	if !m.has(k, now) || m.has(k, now.Add(-time.Hour)) {
		t.Error("a clock set back lengthens the memory")
	}
}
