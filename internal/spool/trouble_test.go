package spool_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store/storetest"
)

// errTrouble is what the store answers in trouble, and nothing else does.
var errTrouble = errors.New("the disk is in trouble")

// errand is what is asked of a queue.
type errand struct {
	do    func() error // may be repeated after an error
	after func()       // looks at what it came to
	parts bool         // what was done before the error stays done
}

const big = 300 << 10

// errands are what a queue is asked for, each on a queue of its own.
var errands = map[string]func(h *house) errand{
	"open": func(h *house) errand {
		h.mixed()
		var r spool.Report
		return errand{func() error {
			q, found, err := spool.Open(ctx, h.st, h.o)
			if err == nil {
				h.q, r = q, found
			}
			return err
		}, func() {
			if r.Entries != 8 || r.Held != 3 || r.Verified != 8 || r.Hashed != 7 || !r.Complete || r.Damaged != 0 {
				h.Errorf("report %+v", r)
			}
		}, true}
	},
	"verify": func(h *house) errand {
		h.mixed()
		for k := range h.keysOf("d") {
			h.write(k, nil)
		}
		h.write("sd\x00\x00\x00\x00\x00\x00\x00\x01"+string(newID().Bytes()), []byte{1, 0, 0})
		var r spool.Report
		return errand{func() (err error) { r, err = h.q.Verify(ctx); return err }, func() {
			if r.Verified != 8 || r.Hashed != 8 || !r.Complete || r.Damaged != 0 {
				h.Errorf("report %+v", r)
			}
			if n := len(h.keysOf("d")) + len(h.keysOf("p")) + len(h.keysOf("h")); n != 8 {
				h.Errorf("%d entries stand in an index, want 8", n)
			}
		}, true}
	},
	"put small": func(h *house) errand { return h.putting(10) },
	"put large": func(h *house) errand { return h.putting(big) },
	"claim": func(h *house) errand {
		id := h.idle(localMessage("alice@local.test", "bob@local.test"))
		return errand{func() error { _, err := h.q.Claim(ctx, id, "test", time.Minute, h.clock.now()); return err }, func() {
			if n := h.q.Stats().Claims; n != 1 {
				h.Errorf("%d claims", n)
			}
		}, false}
	},
	"claim of a held account": func(h *house) errand {
		id := h.idle(localMessage("alice@local.test", "bob@local.test"))
		_ = h.q.HoldAccount(ctx, addr("alice@local.test"), "why")
		return h.refusedClaim(id, spool.ErrHeld, "p")
	},
	"claim without its grant": func(h *house) errand {
		id := h.idle(outboundMessage(h.T, "alice@local.test", []string{"a@far.test"}, "a@far.test"))
		h.o.Key, _ = gate.NewKey([]byte(strings.Repeat("z", gate.KeyOctets)))
		h.restart()
		return h.refusedClaim(id, spool.ErrNoGrant, "h")
	},
	"settle delivered":          func(h *house) errand { return h.settling(10, spool.Final{}, 250) },
	"settle delivered, in file": func(h *house) errand { return h.settling(big, spool.Final{}, 250) },
	"settle deferred":           func(h *house) errand { return h.settling(10, spool.Final{}, 451) },
	"settle failed and told": func(h *house) errand {
		return h.settling(10, spool.Final{}, 550, 10, big)
	},
	"postpone": func(h *house) errand {
		c := put(h, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
		return errand{func() error { return h.q.Postpone(ctx, c.Token, h.clock.now(), nil) }, func() { h.wantDue(c.Entry.ID) }, false}
	},
	"hold claimed": func(h *house) errand {
		c := put(h, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
		return errand{func() error { return h.q.HoldClaimed(ctx, c.Token, "why", nil) }, func() { h.wantStats(1, 1) }, false}
	},
	"hold": func(h *house) errand {
		return h.changing(func() (int, error) { return h.q.Hold(ctx, spool.Filter{}, "why", nil) })
	},
	"hold by id": func(h *house) errand {
		var f spool.Filter
		e := h.changing(func() (int, error) { return h.q.Hold(ctx, f, "why", nil) })
		f.IDs = append(h.due(), newID())
		return e
	},
	"retry": func(h *house) errand {
		h.five()
		h.clock.advance(time.Hour)
		n := 0
		return errand{func() (err error) { n, err = h.q.Retry(ctx, spool.Filter{}, nil); return err }, func() {
			if n != 5 {
				h.Errorf("%d entries were changed, want 5", n)
			}
			for _, id := range h.due() {
				if e, err := h.q.Get(ctx, id); err != nil || !e.NextTry.Equal(h.clock.now()) {
					h.Errorf("next try %v, %v", e.NextTry, err)
				}
			}
		}, false}
	},
	"remove": func(h *house) errand {
		return h.changing(func() (int, error) { return h.q.Remove(ctx, spool.Filter{}, nil) })
	},
	"hold account": func(h *house) errand {
		h.five()
		return errand{func() error { return h.q.HoldAccount(ctx, addr("alice@local.test"), "why") }, func() { h.wantStats(5, 5) }, false}
	},
	"release account": func(h *house) errand {
		ids := h.five()
		_ = h.q.HoldAccount(ctx, addr("alice@local.test"), "why")
		for _, id := range ids {
			_, _ = h.q.Claim(ctx, id, "test", time.Minute, h.clock.now())
		}
		return errand{func() error { return h.q.ReleaseAccount(ctx, addr("alice@local.test")) }, func() {
			h.wantStats(5, 0)
			if n := len(h.due()); n != 5 {
				h.Errorf("%d due, want 5", n)
			}
		}, true}
	},
	"due": func(h *house) errand {
		h.five()
		n := 0
		return errand{func() error { ds, err := h.q.Due(ctx, h.clock.now(), 100); n = len(ds); return err }, func() {
			if n != 5 {
				h.Errorf("%d due", n)
			}
		}, false}
	},
	"next due": func(h *house) errand {
		h.five()
		return errand{func() error { _, _, err := h.q.NextDue(ctx); return err }, func() {}, false}
	},
	"list": func(h *house) errand {
		h.five()
		return errand{func() error {
			return h.q.List(ctx, spool.Filter{}, func(spool.Entry) (bool, error) { return true, nil })
		}, func() {}, false}
	},
	"damaged": func(h *house) errand {
		return errand{func() error {
			return h.q.Damaged(ctx, func(mail.ID, string, []byte) (bool, error) { return true, nil })
		}, func() {}, false}
	},
	"read small": func(h *house) errand { return h.reading(10) },
	"read large": func(h *house) errand { return h.reading(big) },
	"redirect": func(h *house) errand {
		id := h.idle(localMessage("alice@local.test", "bob@local.test"))
		m := localMessage("alice@local.test", "carol@local.test")
		return errand{func() error {
			e, err := h.q.Get(ctx, id)
			if err != nil {
				return err
			}
			b, err := bodyWith(h.q, strings.Repeat("x", big))
			if err != nil {
				return err
			}
			err = h.q.Redirect(ctx, e, spool.Spawned{Message: m, Body: b}, h.clock.now(), nil)
			return errors.Join(err, b.Abort())
		}, func() { h.wantDue(m.ID) }, false}
	},
}

// mixed fills the queue with what stands everywhere: three due, two under way, one of them
// in a file, one held, and two parked of a held account.
func (h *house) mixed() {
	h.Helper()
	for range 3 {
		h.idle(localMessage("bob@local.test", "bob@local.test"))
	}
	put(h, h.q, localMessage("bob@local.test", "bob@local.test"), strings.Repeat("x", big))
	put(h, h.q, localMessage("bob@local.test", "bob@local.test"), "x")
	held := h.idle(localMessage("bob@local.test", "bob@local.test"))
	n, err := h.q.Hold(ctx, one(held), "why", nil)
	h.wantN(n, err, 1)
	h.park(h.idle(localMessage("alice@local.test", "bob@local.test")), h.idle(localMessage("alice@local.test", "bob@local.test")))
}

// park holds alice's queue and sets messages of hers aside.
func (h *house) park(ids ...mail.ID) {
	h.Helper()
	if err := h.q.HoldAccount(ctx, addr("alice@local.test"), "why"); err != nil {
		h.Fatal(err)
	}
	for _, id := range ids {
		_, err := h.q.Claim(ctx, id, "test", time.Minute, h.clock.now())
		h.wantError(err, spool.ErrHeld)
	}
}

func (h *house) five() (ids []mail.ID) {
	h.Helper()
	for range 5 {
		ids = append(ids, h.idle(localMessage("alice@local.test", "bob@local.test")))
	}
	return ids
}

func (h *house) putting(size int) errand {
	m := localMessage("alice@local.test", "bob@local.test")
	return errand{func() error { _, err := offer(h.q, m, strings.Repeat("x", size)); return err }, func() {
		h.wantStats(1, 0)
		h.wantHead(1)
		wantBody(h, h.q, m.ID, strings.Repeat("x", size))
	}, false}
}

// refusedClaim is a claim in vain, after which the entry stands in another index.
func (h *house) refusedClaim(id mail.ID, want error, space string) errand {
	return errand{func() error {
		_, err := h.q.Claim(ctx, id, "test", time.Minute, h.clock.now())
		if errors.Is(err, want) {
			return nil
		}
		return errors.Join(err, errors.New("claimed"))
	}, func() {
		if n := len(h.keysOf(space)); n != 1 || h.q.Stats().Claims != 0 || h.q.Stats().Held != 1 {
			h.Errorf("%d entries in %s; %+v", n, space, h.q.Stats())
		}
	}, false}
}

func (h *house) settling(size int, f spool.Final, code int, spawned ...int) errand {
	c := put(h, h.q, localMessage("alice@local.test", "bob@local.test"), strings.Repeat("x", size))
	f.Facts = [][]byte{[]byte("settled")}
	return errand{func() error {
		f.Spawn = nil
		for _, n := range spawned {
			b, err := bodyWith(h.q, strings.Repeat("x", n))
			if err != nil {
				return err
			}
			defer func() { _ = b.Abort() }()
			f.Spawn = append(f.Spawn, spool.Spawned{Message: localMessage("bob@local.test", "alice@local.test"), Body: b})
		}
		s, err := h.q.Settle(ctx, c.Token, []mail.Outcome{outcome("bob@local.test", code)}, h.clock.now(), f)
		if err == nil && s.Done != (code != 451) {
			h.Errorf("settled %+v", s)
		}
		return err
	}, func() {
		h.wantHead(1)
		if left := len(spawned); left > 0 || code != 451 {
			h.wantStats(left, 0)
		}
		if code == 250 {
			h.wantEmpty()
		}
	}, false}
}

// changing is a change of five entries in batches of two.
func (h *house) changing(do func() (int, error)) errand {
	h.five()
	total := 0
	return errand{func() error { n, err := do(); total += n; return err }, func() {
		if total != 5 {
			h.Errorf("%d entries were changed, want 5", total)
		}
	}, true}
}

func (h *house) reading(size int) errand {
	c := put(h, h.q, localMessage("alice@local.test", "bob@local.test"), strings.Repeat("x", size))
	return errand{func() error {
		r, err := h.q.OpenBody(ctx, c.Entry.ID)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(r)
		if err == nil && string(got) != strings.Repeat("x", size) {
			h.Errorf("%d octets", len(got))
		}
		return errors.Join(err, r.Close())
	}, func() {}, false}
}

// Whatever operation of the store fails, who asked is told so, nothing is changed that
// was not asked for, and asked again it is done as if nothing had happened.
func TestTroubleIsPassedOn(t *testing.T) {
	for name, prepare := range errands {
		t.Run(name, func(t *testing.T) {
			for at := 1; ; at++ {
				if !troubled(t, prepare, at) {
					if at < 2 {
						t.Error("the store was not asked")
					}
					return
				}
				if t.Failed() {
					t.Fatalf("with operation %d failing", at)
				}
			}
		})
	}
}

// troubled does an errand with one operation failing, and reports whether there were so
// many.
func troubled(t *testing.T, prepare func(h *house) errand, at int) bool {
	t.Helper()
	h := newHouse(t, func(o *spool.Options) { o.Limits.Batch = 2; o.Logger = quiet() })
	st := storetest.Stumble(h.st, at, errTrouble)
	h.st = st
	h.restart()
	e := prepare(h)
	before, facts := h.q.Stats(), st.FactHead()
	st.Arm(true)
	err := e.do()
	st.Arm(false)
	if st.Fired() != errors.Is(err, errTrouble) || !st.Fired() && err != nil {
		t.Errorf("the store failed: %v; told %v", st.Fired(), err)
	}
	if st.Fired() {
		if after := h.q.Stats(); !e.parts && (after != before || st.FactHead() != facts) {
			t.Errorf("changed in spite of the error: %+v, before %+v", after, before)
		}
		if err := e.do(); err != nil {
			t.Errorf("asked again: %v", err)
		}
	}
	e.after()
	if names, err := st.Blobs().List(); err != nil || len(names) != len(h.keysOf("f")) {
		t.Errorf("%d files of %d messages, %v", len(names), len(h.keysOf("f")), err)
	}
	return st.Fired()
}
