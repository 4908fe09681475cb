package visit

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/relayaudit"
	"sallyport/internal/relayaudit/verdict"
)

// shownOctets bounds what a report keeps of one reply.
const shownOctets = 2000

// nobodyName returns a local part that no mailbox has.
func nobodyName() string { return "no-such-user-" + strings.ToLower(rand.Text()[:10]) }

// fresh is the state before the greeting, and opened the one after EHLO.
func (v *visitor) fresh() relayaudit.State {
	if v.d.Kind == verdict.Submissions {
		return relayaudit.StateFresh465
	}
	return relayaudit.StateFresh
}

func (v *visitor) opened() relayaudit.State {
	if v.d.Kind == verdict.Submissions {
		return relayaudit.StateSubmissions
	}
	return relayaudit.StateMX
}

// row makes a row of a script of ours.
func row(id, script string, s relayaudit.State) (relayaudit.Case, error) {
	cases, err := relayaudit.ParseCases(strings.NewReader(id + " | S25 alone lockstep | " + script + " |  | audit"))
	if err != nil {
		return relayaudit.Case{}, err
	}
	return cases[0].At(s), nil
}

// ask speaks one script on a connection of its own.
func (v *visitor) ask(script string, s relayaudit.State, m relayaudit.Mode) relayaudit.Result {
	c, err := row("ask", script, s)
	if err != nil {
		return relayaudit.Result{Err: err}
	}
	return v.probe(c, m)
}

// probe speaks one row, and again after a rest while the server says that it is too busy.
func (v *visitor) probe(c relayaudit.Case, m relayaudit.Mode) (r relayaudit.Result) {
	m.Source = v.source()
	rest := v.o.Limits.Rest
	for try := range max(1, v.o.Limits.Busy) {
		if try > 0 {
			v.wait(rest)
			rest *= 2
		}
		v.wait(v.o.Limits.Pace)
		if r = relayaudit.Probe(v.ctx, v.target, c, m); !relayaudit.Busy(r) {
			return r
		}
	}
	return r
}

// session speaks rows in short sessions, and those again alone for which the server was too busy.
func (v *visitor) session(rows []relayaudit.Case, m relayaudit.Mode) (all []relayaudit.Result) {
	m.Source = v.source()
	for len(rows) > 0 && v.ctx.Err() == nil {
		n := min(v.o.Limits.Session, len(rows))
		v.wait(v.o.Limits.Pace)
		for i, r := range relayaudit.ProbeSession(v.ctx, v.target, rows[:n], m) {
			if relayaudit.Busy(r) {
				r = v.probe(rows[i], m)
			}
			all = append(all, r)
		}
		rows = rows[n:]
		v.step(n, 0)
	}
	return all
}

// source is the address to ask this door from, if one of its family was named.
func (v *visitor) source() netip.Addr {
	if s := v.o.Source.Unmap(); s.Is4() == v.d.At.Addr().Unmap().Is4() {
		return s
	}
	return netip.Addr{}
}

// dial connects to the door.
func (v *visitor) dial(ctx context.Context) (net.Conn, error) {
	v.wait(v.o.Limits.Pace)
	d := net.Dialer{Timeout: v.o.Limits.Probe.Dial}
	if s := v.source(); s.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(s, 0))
	}
	return d.DialContext(ctx, "tcp", v.d.At.String())
}

func (v *visitor) step(done, planned int) {
	if v.o.Step != nil {
		v.o.Step(done, planned)
	}
}

func (v *visitor) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-v.ctx.Done():
	}
}

// saidOf returns what was said in a run, with everything of the server made printable.
func saidOf(r relayaudit.Result) []verdict.Said {
	said := make([]verdict.Said, 0, len(r.Replies))
	for _, x := range r.Replies {
		said = append(said, verdict.Said{
			Verb: x.Name, Line: x.Line(), Sent: strings.TrimSuffix(x.Sent, `\r\n`), Outcome: x.Outcome,
			Reply: printed(x.Reply),
		})
	}
	return said
}

// printed returns a reply whose lines are printable and not too many.
func printed(r mail.Reply) mail.Reply {
	text := r.Text
	if len(text) > shownOctets {
		text = text[:shownOctets]
	}
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = mail.Shown(l)
	}
	r.Text = strings.Join(lines, "\n")
	return r
}

// formOf returns what a row showed.
func formOf(r relayaudit.Result, tls, shown bool) verdict.Form {
	f := verdict.Form{ID: r.Case.ID, Source: r.Case.Source, TLS: tls, Shown: shown, Said: saidOf(r)}
	if r.Err != nil {
		f.Fault = mail.Shown(r.Err.Error())
		return f
	}
	for _, fault := range r.Faults {
		f.Laxer = append(f.Laxer, mail.Shown(fault))
	}
	return f
}

// transaction is the begin of a script that asks for one recipient.
func transaction(from, to string) string {
	return fmt.Sprintf("F:<%s> ⏎ T:<%s>", escaped(from), escaped(to))
}

// escaped writes a text so that a script reads it as it is.
func escaped(s string) string {
	return strings.NewReplacer(`\`, `\\`, "{", `\{`, "}", `\}`).Replace(s)
}
