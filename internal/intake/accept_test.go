package intake_test

import (
	"fmt"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
	"sallyport/internal/smtp/wire"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// everything is the range of all keys.
var everything store.Range

// boxes lists the mailboxes and remote recipients of a message.
func boxes(c spool.Claim) []string {
	var out []string
	for _, r := range c.Entry.Recipients {
		switch {
		case r.Kind == spool.KindOutbound:
			out = append(out, "-> "+r.Recipient.Address.String())
		case r.Detail != "":
			out = append(out, r.Mailbox.String()+" +"+r.Detail)
		default:
			out = append(out, r.Mailbox.String())
		}
	}
	return out
}

// Each recipient is a delivery, also one whose mailbox another leads to already; each
// remote address is asked once, as it was written.
func TestRecipientsBecomeDeliveries(t *testing.T) {
	for _, row := range []struct {
		as   string
		to   []string
		want []string
	}{
		{"", []string{"<bob@local.test>"}, []string{"bob@local.test"}},
		{"", []string{"<BOB@LOCAL.TEST>", "<bob@local.test>"}, []string{"bob@local.test", "bob@local.test"}},
		{"", []string{"<all@local.test>", "<bob@local.test>", "<sales@local.test>"}, []string{"alice@local.test", "bob@local.test", "bob@local.test", "alice@local.test"}},
		{"", []string{"<bob+a@local.test>", "<bob+b@local.test>", "<bob+a@local.test>"}, []string{"bob@local.test +a", "bob@local.test +b"}},
		{"", []string{"<Postmaster>"}, []string{"postmaster@local.test"}},
		{"", []string{"<pOsTmAsTeR@[192.0.2.1]>", "<abuse@local.test>"}, []string{"postmaster@local.test", "postmaster@local.test"}},
		{"alice@local.test", []string{"<X@remote.test>", "<x@remote.test>", "<X@REMOTE.test>", "<bob@local.test>"}, []string{"-> X@remote.test", "-> x@remote.test", "bob@local.test"}},
	} {
		t.Run(strings.Join(row.to, " "), func(t *testing.T) {
			w := newWorld(t)
			c := w.open(server.KindMX, row.as)
			from := "<x@far.test>"
			if row.as != "" {
				from = "<" + row.as + ">"
			}
			c.want(c.from(from), 250)
			for _, to := range row.to {
				c.want(c.to(to), 250)
			}
			c.want(c.data(message), 250)
			claim, _ := w.only()
			if got := boxes(claim); !slices.Equal(got, row.want) {
				t.Errorf("deliveries %q, want %q", got, row.want)
			}
		})
	}
}

// An acceptance names each rule that let a recipient in, in whatever order.
func TestAcceptFactNamesEveryRule(t *testing.T) {
	for _, to := range [][]string{
		{"<x@remote.test>", "<bob@local.test>", "<y@remote.test>"}, {"<bob@local.test>", "<x@remote.test>", "<alice@local.test>"},
	} {
		w := newWorld(t)
		c := w.signedIn("alice@local.test")
		c.want(c.from("<alice@local.test>"), 250)
		for _, r := range to {
			c.want(c.to(r), 250)
		}
		c.want(c.data(message), 250)
		first, other := "submission-relay", "submission-local"
		if to[0] == "<bob@local.test>" {
			first, other = other, first
		}
		f := w.oneFact(first)
		if got, _ := f.Find("other recipients"); got != other || len(f.Evidence) != 2 {
			t.Errorf("%q: evidence %q", to, f.Evidence)
		}
	}
}

// The envelope id that a sender gives stands in the acceptance, by which it is found, and cannot be crowded out.
func TestAcceptFactNamesTheEnvelopeID(t *testing.T) {
	w := newWorld(t)
	c := w.signedIn("alice@local.test")
	from, err := mail.ParseReversePath("<alice@local.test>", mail.ASCII)
	must(t, err)
	c.want(c.mail(mail.Envelope{From: from, EnvID: "QQ 314159"}), 250)
	c.want(c.to("<x@remote.test>"), 250)
	c.want(c.to("<bob@local.test>"), 250)
	c.want(c.data(message), 250)
	f := w.oneFact("submission-relay")
	if id, _ := f.Find(fact.EvidenceEnvelope); id != "QQ 314159" {
		t.Errorf("%q", f.Evidence)
	}
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<x@remote.test>"), 250)
	c.want(c.data(message), 250)
	if id, found := w.oneFact("submission-relay").Find(fact.EvidenceEnvelope); found {
		t.Errorf("another message has it, too: %q", id)
	}
}

// The acceptance is a fact that stands in the store with the message.
func TestAcceptFact(t *testing.T) {
	w := newWorld(t)
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice+shop@local.test>"), 250)
	c.want(c.to("<x@remote.test>"), 250)
	r := c.data(strings.Replace(message, "Alice ", "\"bank@far.test\" ", 1))
	c.want(r, 250)
	claim, _ := w.only()
	f := w.oneFact("submission-relay")
	note, _ := f.Find("note")
	if f.Queue != claim.Entry.ID || f.Account != "alice@local.test" || f.Sender != "<alice+shop@local.test>" || f.MessageID != "<1@local.test>" ||
		f.Size != claim.Entry.Size || f.Reply.Code != 250 || !strings.Contains(r.Text, f.Queue.String()) || !strings.Contains(note, "bank@far.test") {
		t.Errorf("fact %+v", f)
	}
	// The claim is the first attempt's, and nothing more was written for it.
	if claim.Entry.Attempts != 1 || !claim.Entry.NextTry.After(w.now) {
		t.Errorf("claim %+v", claim.Entry)
	}
}

// What is stored is the message as it came, with what only we may say replaced, and with
// authors that every reader reads alike.
func TestStoredHeader(t *testing.T) {
	const ours, theirs = "Authentication-Results: mx.local.test; spf=pass\r\n", "Authentication-Results: mx.far.test; spf=pass\r\n"
	for _, row := range []struct{ name, as, in, want string }{
		{"as it came", "", message, message},
		{"Return-Path goes", "", "Return-Path: <evil@far.test>\r\nreturn-path :\r\n <x>\r\n" + message, message},
		{"our results go, others' stay", "", ours + theirs + "Authentication-Results: (c) MX.local.test. 1; a\r\n" + message, theirs + message},
		{"nothing is added for strangers", "", "Subject: x\r\n\r\nbody\r\n", "Subject: x\r\n\r\nbody\r\n"},
		{"no header at all", "", "\r\nbody\r\n", "\r\nbody\r\n"},
		{"no body at all", "", "Subject: x\r\n", "Subject: x\r\n"},
		{"nothing at all", "", "", ""},
		{"complete", "alice@local.test", message, message},
		{"date and id", "alice@local.test", "From: alice@local.test\r\n\r\nhi\r\n",
			"Date: Sun, 1 Mar 2026 12:00:00 +0000\r\nMessage-ID: <ID@mx.local.test>\r\nFrom: alice@local.test\r\n\r\nhi\r\n"},
		{"an empty id is an id", "alice@local.test", "From: alice@local.test\r\nMessage-ID:\r\nDate: x\r\n\r\nhi\r\n",
			"From: alice@local.test\r\nMessage-ID:\r\nDate: x\r\n\r\nhi\r\n"},
		{"strips what is submitted too", "alice@local.test", "Return-Path: <x>\r\n" + ours + message, message},
		{"secret recipients stay secret", "alice@local.test", "Bcc: a@far.test,\r\n b@far.test\r\nbcc: c@far.test\r\nResent-Bcc: d@far.test\r\nX-Bcc: kept\r\n" + message, "X-Bcc: kept\r\n" + message},
		{"an author written for every reader", "alice@local.test", "Sender: alice@local.test (Alice)\r\n" + strings.Replace(message, "From: Alice", "From: \"Example,\r\n Alice\" (x)", 1),
			"Sender: \"Alice\" <alice@local.test>\r\n" + strings.Replace(message, "From: Alice", "From: \"Example, Alice (x)\"", 1)},
		{"a name beyond ASCII", "alice@local.test", strings.Replace(message, "From: Alice", "From: Büro-Scanner", 1), strings.Replace(message, "From: Alice", "From: =?utf-8?q?B=C3=BCro=2DScanner?=", 1)},
		{"a name in Latin-1", "alice@local.test", strings.Replace(message, "From: Alice", "From: B\xfcro", 1), strings.Replace(message, "From: Alice", "From: =?utf-8?q?B=C3=BCro?=", 1)},
		{"a line of a mailbox file", "alice@local.test", "From 0123456789abcdef Mon Sep 17 00:00:00 2001\r\n" + message, message},
		{"such a line, quoted and folded", "alice@local.test", ">From alice Mon Sep 17\r\n ; x\r\n" + message, message},
		{"strangers' authors are theirs", "", strings.Replace(message, "From: Alice", "From: (x)\r\n Alice", 1), strings.Replace(message, "From: Alice", "From: (x)\r\n Alice", 1)},
		{"strangers' are theirs", "", "Bcc: a@far.test\r\n" + message, "Bcc: a@far.test\r\n" + message},
		{"50 hops", "", strings.Repeat("Received: x\r\n", 50) + message, strings.Repeat("Received: x\r\n", 50) + message},
		{"large", "alice@local.test", message + strings.Repeat("0123456789abcdef\r\n", 20_000), message + strings.Repeat("0123456789abcdef\r\n", 20_000)},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.open(server.KindMX, row.as)
			c.want(c.from("<"+orStranger(row.as)+">"), 250)
			c.want(c.to("<bob@local.test>"), 250)
			c.want(c.data(row.in), 250)
			claim, got := w.only()
			want := strings.Replace(row.want, "<ID@", "<"+claim.Entry.ID.String()+"@", 1)
			if got != want {
				t.Errorf("stored\n%.600q, want\n%.600q", got, want)
			}
			if id := claim.Entry.MessageID; id != "" && !strings.Contains(got, id) {
				t.Errorf("message id %q is not in the message", id)
			}
			w.checkReceived(claim, row.as != "")
		})
	}
}

func orStranger(as string) string {
	if as == "" {
		return "x@far.test"
	}
	return as
}

// checkReceived checks our trace field. RFC 5321 §4.4.
func (w *world) checkReceived(c spool.Claim, signedIn bool) {
	w.t.Helper()
	p := string(c.Entry.Prefix)
	with := " with ESMTPS id "
	if signedIn {
		with = " with ESMTPSA id "
	}
	for _, part := range []string{"Received: from client.test ([198.51.100.7])", "by mx.local.test" + with + c.Entry.ID.String(), "for <bob@local.test>", "tls TLS_AES_128_GCM_SHA256", "; \r\n"} {
		if part != "; \r\n" && !strings.Contains(p, part) {
			w.t.Errorf("%q is not in %q", part, p)
		}
	}
	if strings.Count(p, "Received:") != 1 || !strings.HasSuffix(p, "\r\n") {
		w.t.Errorf("trace field %q", p)
	}
}

// Several recipients do not learn of each other from the trace field.
func TestReceivedNamesNoOther(t *testing.T) {
	w := newWorld(t)
	c := w.connect(server.KindMX)
	c.want(c.from("<>"), 250)
	c.want(c.to("<bob@local.test>"), 250)
	c.want(c.to("<alice@local.test>"), 250)
	c.want(c.data(message), 250)
	claim, _ := w.only()
	if p := string(claim.Entry.Prefix); strings.Contains(p, "bob@") || strings.Contains(p, "alice@") || strings.Contains(p, " for ") {
		t.Errorf("trace field %q", p)
	}
}

// SMTPUTF8 is required of the next hop only by a message that needs it.
func TestUTF8OnlyWhenNeeded(t *testing.T) {
	for _, row := range []struct {
		asked      bool
		from, to   string
		text       string
		want       bool
		wantAnswer int
	}{
		{false, "<alice@local.test>", "<x@remote.test>", message, false, 250},
		{true, "<alice@local.test>", "<x@remote.test>", message, false, 250},
		{true, "<alice@local.test>", "<x@remote.test>", message + "Grüße\r\n", false, 250}, // 8BITMIME is enough
		// The envelope's own addresses are judged where it is sent, which may be with others.
		{true, "<alice@local.test>", "<ü@remote.test>", message, false, 250},
		{true, "<alice+ü@local.test>", "<x@remote.test>", message, false, 250},
		{true, "<alice@local.test>", "<x@remote.test>", strings.Replace(message, "To: x@", "To: ü@", 1), true, 250},
		{true, "<alice@local.test>", "<x@remote.test>", strings.Replace(message, "alice@local.test", "alice+ü@local.test", 1), true, 250},
		// What is only shown passes everywhere.
		{true, "<alice@local.test>", "<x@remote.test>", strings.Replace(message, "Subject: x", "Subject: Grüße", 1), false, 250},
		{true, "<alice@local.test>", "<x@remote.test>", strings.Replace(message, "From: Alice", "From: Älice", 1), false, 250},
		{true, "<alice@local.test>", "<x@remote.test>", strings.Replace(message, "To: x@remote.test", "To: \"Büro, x\" <x@remote.test> (Ä@ö)", 1), false, 250},
	} {
		w := newWorld(t)
		c := w.signedIn("alice@local.test")
		p, err := mail.ParseReversePath(row.from, mail.UTF8)
		must(t, err)
		c.want(c.mail(mail.Envelope{From: p, SMTPUTF8: row.asked, Body: mail.Body8BitMIME, Ret: mail.RetFull, EnvID: "e1"}), 250)
		to, err := mail.ParseForwardPath(row.to, mail.UTF8)
		must(t, err)
		c.want(c.t.Rcpt(t.Context(), wire.RcptParams{To: to, Notify: mail.NotifySuccess, ORcpt: mail.ORcpt{Type: "rfc822", Address: "o@x.test"}}), 250)
		c.want(c.data(row.text), row.wantAnswer)
		claim, _ := w.only()
		env := claim.Entry.Envelope
		if env.SMTPUTF8 != row.want || env.Body != mail.Body8BitMIME || env.Ret != mail.RetFull || env.EnvID != "e1" {
			t.Errorf("%+v: envelope %+v", row, env)
		}
		if r := claim.Entry.Recipients[0].Recipient; r.Notify != mail.NotifySuccess || r.ORcpt.Address != "o@x.test" {
			t.Errorf("recipient %+v", r)
		}
	}
}

// What a message asks of TLS is the parameter, or else the field, if that says one
// thing once. RFC 8689 §3, §4.1.
func TestWhatAMessageAsksOfTLS(t *testing.T) {
	for _, row := range []struct {
		asked  mail.TLSDemand
		fields string
		want   mail.TLSDemand
	}{
		{mail.TLSAsUsual, "", mail.TLSAsUsual},
		{mail.RequireTLS, "", mail.RequireTLS},
		{mail.TLSAsUsual, "TLS-Required: No\r\n", mail.TLSOptional},
		{mail.TLSAsUsual, "tls-required:\tno \r\n", mail.TLSOptional},
		{mail.RequireTLS, "TLS-Required: No\r\n", mail.RequireTLS},
		{mail.TLSAsUsual, "TLS-Required: Yes\r\n", mail.TLSAsUsual},
		{mail.TLSAsUsual, "TLS-Required: No\r\nTLS-Required: No\r\n", mail.TLSAsUsual},
	} {
		w := newWorld(t)
		c := w.signedIn("alice@local.test")
		p, err := mail.ParseReversePath("<alice@local.test>", mail.ASCII)
		must(t, err)
		c.want(c.mail(mail.Envelope{From: p, TLS: row.asked}), 250)
		c.want(c.to("<x@remote.test>"), 250)
		c.want(c.data(row.fields+message), 250)
		if claim, _ := w.only(); claim.Entry.Envelope.TLS != row.want {
			t.Errorf("%+v: %v", row, claim.Entry.Envelope.TLS)
		}
	}
}

// Whatever a client says in whatever order: what is stored is what was answered
// with 250, an outbound delivery is an active account's with a sender of its own,
// and every refusal is exactly one fact.
func TestAnyConversation(t *testing.T) {
	froms := []string{"<>", "<x@far.test>", "<alice@local.test>", "<alice+d@local.test>", "<bob@local.test>", "<sales@local.test>"}
	tos := []string{"<x@remote.test>", "<y@remote.test>", "<bob@local.test>", "<BOB+d@local.test>", "<all@local.test>", "<nobody@local.test>", "<Postmaster>", "<round@local.test>"}
	texts := []string{message, "Subject: x\r\n\r\n", strings.Replace(message, "alice@", "bob@", 1), "Received: y\r\n" + message}
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(outer)
		door := rapid.SampledFrom([]server.Kind{server.KindMX, server.KindSubmission, server.KindSubmissions}).Draw(t, "door")
		as := ""
		if door != server.KindMX {
			as = rapid.SampledFrom([]string{"", "alice@local.test"}).Draw(t, "as")
		}
		c := w.open(door, as)
		frozen, stored := false, 0
		for range rapid.IntRange(1, 4).Draw(t, "transactions") {
			from := rapid.SampledFrom(froms).Draw(t, "from")
			r := c.from(from)
			w.answered(t, r)
			if !r.OK() {
				continue
			}
			var accepted []string
			for _, to := range rapid.SliceOfN(rapid.SampledFrom(tos), 0, 5).Draw(t, "to") {
				if as != "" && !frozen && rapid.IntRange(0, 30).Draw(t, "freeze") == 0 {
					_, err := w.identity.Freeze(outer.Context(), addr(outer, as), "now", nil)
					must(outer, err)
					frozen = true
				}
				r := c.to(to)
				w.answered(t, r)
				if r.OK() && !slices.Contains(accepted, strings.ToLower(to)) {
					accepted = append(accepted, strings.ToLower(to))
				}
				if r.OK() && strings.Contains(to, "remote.test") && (as == "" || frozen) {
					t.Fatalf("%s was accepted from %q, frozen %v", to, as, frozen)
				}
			}
			if u := w.in.Memory.Use(); u.Used == 0 {
				t.Fatal("a transaction takes no memory")
			}
			if len(accepted) == 0 || rapid.Bool().Draw(t, "abort") {
				c.t.Abort(outer.Context())
				continue
			}
			r = c.data(rapid.SampledFrom(texts).Draw(t, "text"))
			if r.OK() {
				stored++
				last := w.handed[len(w.handed)-1]
				if got := len(last.Entry.Envelope.To); got != len(accepted) || frozen && as != "" {
					t.Fatalf("%d recipients stored, %q accepted, frozen %v", got, accepted, frozen)
				}
				if all := w.facts(); len(all) != 1 || all[0].Kind != "accept" {
					t.Fatalf("acceptance recorded as %+v", all)
				}
				continue
			}
			w.answered(t, r)
		}
		if u := w.in.Memory.Use(); u.Used != 0 || u.Peak == 0 {
			t.Fatalf("memory that nobody holds: %+v", u)
		}
		if n := w.spool.Stats().Entries; n != stored || len(w.handed) != stored {
			t.Fatalf("%d stored, %d handed over, %d answered with 250", n, len(w.handed), stored)
		}
	})
}

// answered checks that a refusal is one fact with its reply, a success none.
func (w *world) answered(t *rapid.T, r mail.Reply) {
	all := w.facts()
	if r.OK() && len(all) != 0 || !r.OK() && (len(all) != 1 || all[0].Rule == "" || all[0].Reply != r) {
		t.Fatalf("%v left %+v", r, all)
	}
}

// The same through the real engine and a real socket: each refusal of either side
// is one fact.
func TestTranscript(t *testing.T) {
	w := newWorld(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		server.ServeConn(t.Context(), nc, server.Config{Kind: server.KindMX, Hostname: domain(t, "mx.local.test"), Limits: server.DefaultLimits(), Logger: w.in.Logger, Now: time.Now}, w.in)
	}()
	nc, err := net.Dial("tcp", ln.Addr().String())
	must(t, err)
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
	c := textproto.NewConn(nc)
	for _, step := range []struct {
		say  string
		code int
	}{
		{"", 220},
		{"EHLO client.test", 250},
		{"MAIL FROM:<alice@local.test>", 550}, // mx-own-sender
		{"MAIL FROM:<x@far.test>", 250},
		{"MAIL FROM:<x@far.test>", 503},   // protocol
		{"RCPT TO:<y@remote.test>", 550},  // relay-denied
		{"RCPT TO:<@a:y@local.test>", 5},  // protocol
		{"RCPT TO:<bob@local.test>", 250}, //
		{"DATA", 354},
		{"Subject: x\r\n\r\n..\r\n.", 250},
		{"TURN", 5}, // protocol
		{"QUIT", 221},
	} {
		if step.say != "" {
			must(t, c.PrintfLine("%s", step.say))
		}
		if code, text, err := c.ReadResponse(step.code); err != nil {
			t.Fatalf("%s: %d %s, want %d", step.say, code, text, step.code)
		}
	}
	<-served
	var rules []string
	for _, f := range w.facts() {
		rules = append(rules, f.Rule)
	}
	want := []string{"mx-own-sender", "protocol", "relay-denied", "protocol", "protocol", "connection-ended", "mx-local"}
	if !slices.Equal(rules, want) {
		t.Errorf("facts %q, want %q", rules, want)
	}
	claim, body := w.only()
	if body != "Subject: x\r\n\r\n.\r\n" || fmt.Sprint(boxes(claim)) != "[bob@local.test]" {
		t.Errorf("stored %q for %v", body, boxes(claim))
	}
}
