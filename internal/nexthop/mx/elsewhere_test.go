package mx

import (
	"io"
	"net"
	"strings"
	"testing"
)

// What the exchanger of these tests does that is asked first.
const (
	fullAtMail    = "452 4.3.1 full\r\n503 no\r\n503 no"
	refusesAtRcpt = "250 ok\r\n550 5.7.1 not by way of me\r\n503 no"
)

// pipelines is a server that answers the whole envelope at once.
func pipelines(envelope string) func(int, net.Conn) {
	return greets("220 mx", "250-mx\r\n250 PIPELINING", envelope)
}

// hangsUpAtMail is a server that ends each conversation there.
func hangsUpAtMail(_ int, nc net.Conn) {
	for _, text := range []string{"220 mx", "250 mx"} {
		io.WriteString(nc, text+"\r\n")
		nc.Read(make([]byte, 4096))
	}
}

// deliverAt is deliver in some attempt.
func (w *world) deliverAt(t *Targets, attempt int, to ...string) []string {
	w.t.Helper()
	j := w.job(to...)
	j.Attempt = attempt
	return w.outcomes(j, t.For(j.Recipients[0].Address.Domain()).Deliver(w.t.Context(), j))
}

// An exchanger that puts everything off does not keep mail from the others for days: from the second
// attempt on one of them is asked, too, and at once where the first says nothing of the message.
func TestWhatOneExchangerDefersAnotherTakes(t *testing.T) {
	for title, row := range map[string]struct {
		first   func(int, net.Conn)
		attempt int
		want    string // A and B stand for the exchangers
		dialled string
	}{
		"full, first attempt":  {pipelines(fullAtMail), 1, "452 4.3.1 A", "127.0.0.2"},
		"full":                 {pipelines(fullAtMail), 2, "250 2.0.0 B", "127.0.0.2 127.0.0.3"},
		"full, for long":       {pipelines(fullAtMail), 9, "250 2.0.0 B", "127.0.0.2 127.0.0.3"},
		"puts off at RCPT":     {pipelines("250 ok\r\n450 4.2.0 later\r\n503 no"), 2, "250 2.0.0 B", "127.0.0.2 127.0.0.3"},
		"hangs up":             {hangsUpAtMail, 1, "250 2.0.0 B", "127.0.0.2 127.0.0.3"},
		"421 at MAIL":          {pipelines("421 4.7.0 too much"), 1, "250 2.0.0 B", "127.0.0.2 127.0.0.3"},
		"refuses":              {pipelines(refusesAtRcpt), 2, "550 5.7.1 A", "127.0.0.2"},
		"puts off at the end":  {greets("220 mx", "250 mx", "250 ok", "250 ok", "354 go", "451 4.3.0 later"), 2, "250 2.0.0 B", "127.0.0.2 127.0.0.3"},
		"hangs up at the end":  {greets("220 mx", "250 mx", "250 ok", "250 ok", "354 go", "421 4.3.0 later"), 1, "421 4.3.0 A", "127.0.0.2"},
		"speaks no more of it": {greets("220 mx", "250 mx", "250 ok", "250 ok", "354 go"), 2, "250 2.0.0 B", "127.0.0.2 127.0.0.3"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).zone("x.test MX 10 a.x.test", "x.test MX 20 b.x.test", "a.x.test A 127.0.0.2", "b.x.test A 127.0.0.3")
			w.play("127.0.0.2", row.first)
			w.serve("127.0.0.3", nil)
			want := strings.NewReplacer("A", w.at("a.x.test", "127.0.0.2"), "B", w.at("b.x.test", "127.0.0.3")).Replace(row.want)
			w.want(w.deliverAt(w.targets(w.options()), row.attempt, "ann@x.test"), want)
			w.wantDialed(strings.Fields(row.dialled)...)
		})
	}
}

// Only those go elsewhere who were put off.
func TestOnlyTheDeferredGoElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t).zone("x.test MX 10 a.x.test", "x.test MX 20 b.x.test", "a.x.test A 127.0.0.2", "b.x.test A 127.0.0.3")
	w.play("127.0.0.2", greets("220 mx", "250 mx", "250 ok", "250 ok", "450 4.2.0 later", "550 5.1.1 nobody", "354 go", "250 2.0.0 taken"))
	w.serve("127.0.0.3", nil)
	a, b := w.at("a.x.test", "127.0.0.2"), w.at("b.x.test", "127.0.0.3")
	w.want(w.deliverAt(w.targets(w.options()), 2, "ann@x.test", "bob@x.test", "cid@x.test"), "250 2.0.0 "+a, "250 2.0.0 "+b, "550 5.1.1 "+a)
	if len(w.took) != 1 || w.took["127.0.0.3 bob@x.test"] != 1 {
		t.Errorf("the other exchanger took %v", w.took)
	}
}

// What the other exchanger refuses, the first may yet take; and where all put it off, the words are
// those of the first.
func TestTheOtherExchangerFailsNothing(t *testing.T) {
	for answer, title := range map[string]string{refusesAtRcpt: "refuses", "451 4.3.0 not now\r\n503 no\r\n503 no": "puts off", "421 4.3.2 busy": "hangs up"} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).zone("x.test MX 10 a.x.test", "x.test MX 20 b.x.test", "x.test MX 30 c.x.test",
				"a.x.test A 127.0.0.2", "b.x.test A 127.0.0.3", "c.x.test A 127.0.0.4")
			w.play("127.0.0.2", pipelines(fullAtMail))
			w.play("127.0.0.3", pipelines(answer))
			w.serve("127.0.0.4", nil)
			targets := w.targets(w.options())
			w.want(w.deliverAt(targets, 2, "ann@x.test"), "452 4.3.1 "+w.at("a.x.test", "127.0.0.2"))
			// One other in each attempt, and each in its turn.
			w.want(w.deliverAt(targets, 3, "ann@x.test"), "250 2.0.0 "+w.at("c.x.test", "127.0.0.4"))
			if w.count("127.0.0.3") != 1 || w.count("127.0.0.4") != 1 {
				t.Errorf("%v", w.opened)
			}
		})
	}
}

// A host with several addresses may be several machines; other hosts come first.
func TestOtherAddressesOfTheSameHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t).zone("x.test MX 10 a.x.test", "a.x.test A 127.0.0.2", "a.x.test A 127.0.0.3", "y.test MX 10 a.x.test", "y.test MX 20 b.y.test", "b.y.test A 127.0.0.4")
	full := map[string]bool{}
	for _, ip := range []string{"127.0.0.2", "127.0.0.3"} {
		w.play(ip, func(n int, nc net.Conn) {
			w.mu.Lock()
			first := len(full) == 0 || full[ip]
			if first {
				full[ip] = true
			}
			w.mu.Unlock()
			if first {
				say(nc, "220 mx", "250-mx\r\n250 PIPELINING", fullAtMail)
				return
			}
			say(nc, "220 mx", "250 mx", "250 ok", "250 ok", "354 go", "250 2.0.0 taken")
		})
	}
	w.serve("127.0.0.4", nil)
	targets := w.targets(w.options())
	got := w.deliverAt(targets, 2, "ann@x.test")
	w.mu.Lock()
	if !strings.HasPrefix(got[0], "250 2.0.0 a.x.test ") || len(full) != 1 {
		t.Errorf("%v, full: %v", got, full)
	}
	full["127.0.0.2"], full["127.0.0.3"] = true, true
	w.mu.Unlock()
	w.want(w.deliverAt(targets, 2, "ann@y.test"), "250 2.0.0 "+w.at("b.y.test", "127.0.0.4"))
}

// Nobody who is no better than we are is asked, here neither.
func TestNothingGoesElsewhereInACircle(t *testing.T) {
	t.Parallel()
	w := newWorld(t).zone("x.test MX 10 a.x.test", "x.test MX 20 mail.home.test", "x.test MX 30 b.x.test", "a.x.test A 127.0.0.2", "b.x.test A 127.0.0.3",
		"y.test MX 10 a.x.test", "y.test MX 20 b.x.test", "y.test MX 20 c.x.test", "c.x.test A 127.0.0.1", "y.test MX 30 d.x.test", "d.x.test A 127.0.0.4")
	w.play("127.0.0.2", pipelines(fullAtMail))
	w.serve("127.0.0.3", nil)
	w.serve("127.0.0.4", nil)
	targets := w.targets(w.options())
	for _, to := range []string{"ann@x.test", "ann@y.test"} {
		w.want(w.deliverAt(targets, 2, to), "452 4.3.1 "+w.at("a.x.test", "127.0.0.2"))
	}
	if w.count("127.0.0.3")+w.count("127.0.0.4") != 0 {
		t.Errorf("%v", w.opened)
	}
}
