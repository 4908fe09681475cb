package screening_test

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/budget/inflow"
	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/internal/screen/access"
	"sallyport/internal/screen/policy"
	"sallyport/internal/store/mem"
	"sallyport/test/operator"
)

// screened is a World with a list of the administrator's, which a server counts.
func screened(t *testing.T) (*operator.World, *policy.Screen) {
	t.Helper()
	w := operator.New(t)
	l, err := access.Parse(strings.NewReader("refuse sender spam.test no thanks\ndefer hello never.test\nslow network 198.51.100.0/24\n"))
	operator.Check(t, err)
	screen := policy.New(policy.Options{List: l, Slow: 50 * time.Millisecond, Time: time.Second, Now: time.Now}, nil)
	st := mem.New()
	t.Cleanup(func() { st.Close() })
	in, err := inflow.Open(t.Context(), st, inflow.Options{Limits: inflow.DefaultLimits(), Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	operator.Check(t, err)
	w.With(func(o *operate.Options) {
		o.Screen, o.Inflow, o.Server = func() *policy.Screen { return screen }, in, func() *operate.Server { return &operate.Server{} }
	})
	return w, screen
}

// What would happen to somebody is told as it would, with the line, and counts nothing; what hit is listed with
// how often.
func TestWhoWouldBeKeptOut(t *testing.T) {
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w, screen := screened(t)
			c, ctx := w.Clients(t)[way], t.Context()
			hits := func() (sum int64, lines int) {
				operator.Check(t, c.ScreenList(ctx, func(h operate.ScreenHit) error {
					if h.Kind == "line" {
						sum, lines = sum+h.Hits, lines+1
					}
					return nil
				}))
				return sum, lines
			}
			for _, s := range []struct {
				who           operate.ScreenVisitor
				verdict, line string
				reply         string
			}{
				{operate.ScreenVisitor{Client: "192.0.2.7", From: "x@spam.test"}, "refuse", "spam.test", "no thanks"},
				{operate.ScreenVisitor{Client: "192.0.2.7", From: "<x@spam.test>", To: "bob@local.test"}, "refuse", "spam.test", "no thanks"},
				{operate.ScreenVisitor{Client: "192.0.2.7", Hello: "never.test"}, "defer", "never.test", "4"},
				{operate.ScreenVisitor{Client: "2001:db8::7", From: "<>"}, "take", "", ""},
			} {
				a, err := c.ScreenTest(ctx, s.who)
				if err != nil || a.Verdict != s.verdict || !strings.Contains(a.Text, s.line) ||
					!strings.Contains(a.Reply, s.reply) || a.Client != s.who.Client ||
					(a.Line > 0) != (s.line != "") {
					t.Errorf("%+v: %+v, %v", s.who, a, err)
				}
			}
			if a, err := c.ScreenTest(ctx, operate.ScreenVisitor{Client: "198.51.100.9"}); err != nil || a.Wait != "50ms" {
				t.Errorf("%+v, %v", a, err)
			}
			if n, lines := hits(); n != 0 || lines != 3 {
				t.Errorf("%d hits of %d lines before anybody came", n, lines)
			}
			v := policy.Visitor{Client: netip.MustParseAddr("192.0.2.7"), Hello: "never.test"}
			screen.Judge(ctx, v)
			if n, _ := hits(); n != 1 {
				t.Errorf("%d hits of one visitor", n)
			}
			for _, bad := range []operate.ScreenVisitor{{}, {Client: "nowhere"}, {Client: "192.0.2.7", From: "a b"}, {Client: "192.0.2.7", To: "bob"}} {
				_, err := c.ScreenTest(ctx, bad)
				operator.WantCode(t, err, call.CodeInvalid)
			}
			if s, err := c.Status(ctx); err != nil || len(s.Limited) != 0 {
				t.Errorf("the status names %+v, %v", s.Limited, err)
			}
		})
	}
}

// Without a screen nobody is judged, and without a running server nothing was counted.
func TestNobodyIsScreened(t *testing.T) {
	w, _ := screened(t)
	w.With(func(o *operate.Options) { o.Server = nil })
	c := operate.Direct(w.Operator)
	err := c.ScreenList(t.Context(), func(operate.ScreenHit) error { return nil })
	operator.WantCode(t, err, call.CodeInvalid)
	if _, err := c.ScreenTest(t.Context(), operate.ScreenVisitor{Client: "192.0.2.7"}); err != nil {
		t.Errorf("a test needs no server: %v", err)
	}
	w.With(func(o *operate.Options) { o.Screen, o.Inflow = nil, nil })
	c = operate.Direct(w.Operator)
	_, err = c.ScreenTest(t.Context(), operate.ScreenVisitor{Client: "192.0.2.7"})
	operator.WantCode(t, err, call.CodeInvalid)
	if s, err := c.Status(t.Context()); err != nil || s.Limited != nil {
		t.Errorf("%+v, %v", s.Limited, err)
	}
}
