package relayaudit

import (
	"context"
	"errors"
	"fmt"

	"sallyport/internal/mail"
)

// errBusy means that the server asked to come again later (421), or closed at
// once: nothing was learnt about the row.
var errBusy = errors.New("relayaudit: the server is too busy")

// Busy reports whether a row could not be run because the server refused the
// connection for the moment; it may be run again.
func Busy(r Result) bool { return errors.Is(r.Err, errBusy) }

// open brings the connection into the state in which the row begins.
func (r *run) open() error {
	addr, implicit := r.t.door(r.c.State, r.m)
	w, err := dial(r.ctx, r.m.Source, addr, r.t.Limits)
	if err != nil {
		return err
	}
	r.w = w
	if implicit {
		if err := w.handshake(r.ctx, r.t.tlsConfig(r.tickets)); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
	}
	switch r.c.State {
	case StateFresh, StateFresh587, StateFresh465:
		return nil
	}
	return r.greet(implicit)
}

// greet reads the greeting and goes on to the state of the row.
func (r *run) greet(implicit bool) error {
	reply, outcome := r.w.readReply()
	if reply.Code == 421 || outcome == OutcomeClose {
		return fmt.Errorf("%w: greeting: %s %s", errBusy, outcome, reply)
	}
	if reply.Code != 220 {
		return fmt.Errorf("greeting: %s %s", outcome, reply)
	}
	if err := r.hello(); err != nil {
		return err
	}
	if r.startsTLS() && !implicit {
		if err := r.startTLS(); err != nil {
			return err
		}
	}
	if r.c.State == StateSignedIn {
		return r.say("AUTH PLAIN "+r.vars["SASL"], 235)
	}
	return nil
}

// hello says EHLO, and HELO to a server that does not know it: what relayed in 1997 knew no extensions, and some
// devices know none today. RFC 5321 §3.2
func (r *run) hello() error {
	r.w.write([]byte("EHLO " + r.t.ehlo() + "\r\n"))
	reply, outcome := r.w.readReply()
	switch {
	case reply.Code == 250:
		return nil
	case reply.Code == 421 || reply.Code == 454:
		return fmt.Errorf("%w: %s", errBusy, reply)
	case reply.Class() != mail.ClassPermanent:
		return fmt.Errorf("ehlo: wanted 250, got %s %s", outcome, reply)
	}
	return r.say("HELO "+r.t.ehlo(), 250)
}

func (r *run) startsTLS() bool {
	switch r.c.State {
	case StateMX:
		return r.m.TLS
	case StateMXTLS, StateSubmissionTLS, StateSignedIn:
		return true
	}
	return false
}

func (r *run) startTLS() error {
	if err := r.say("STARTTLS", 220); err != nil {
		return err
	}
	if err := r.w.handshake(r.ctx, r.t.tlsConfig(r.tickets)); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	return r.say("EHLO "+r.t.ehlo(), 250)
}

// say sends a line of the opening; it is no part of the row.
func (r *run) say(line string, code int) error {
	r.w.write([]byte(line + "\r\n"))
	reply, outcome := r.w.readReply()
	if reply.Code == code {
		return nil
	}
	if reply.Code == 421 || reply.Code == 454 {
		return fmt.Errorf("%w: %s", errBusy, reply)
	}
	verb := verbOf(line)
	return fmt.Errorf("%s: wanted %d, got %s %s", verb, code, outcome, reply)
}

// lastWord checks that the replies are still in step with the commands: NOOP and
// QUIT get exactly one reply each and then the connection ends, unless the server
// has closed before. A surplus reply is the mark of smuggled commands.
func (r *run) lastWord() {
	if r.ended || r.res.Err != nil {
		return
	}
	if r.w.gone {
		r.res.Closed = true
		return
	}
	if r.last == "354" || r.last == "334" {
		return // the row ends within a message or an exchange: nothing can be asked
	}
	r.w.write([]byte("NOOP\r\nQUIT\r\n"))
	n, outcome := r.w.surplus()
	switch {
	case outcome == OutcomeClose && n == 0:
		r.res.Closed = true
	case outcome != OutcomeClose:
		r.fault("after NOOP and QUIT: %s", outcome)
	case n != 2 && !(n == 1 && r.c.Expect.MayClose):
		r.fault("NOOP and QUIT got %d replies instead of 2: a command was read out of a message, or a reply is missing", n)
	}
}

// conclude judges the replies.
func (r *run) conclude() {
	if r.res.Err != nil {
		return
	}
	r.res.Faults = append(r.c.Expect.judge(r.res.Replies), r.res.Faults...)
	if r.ended {
		return
	}
	if r.c.Expect.Closed && !r.res.Closed {
		r.fault("the server did not close the connection")
	}
	if r.res.Closed && !r.c.Expect.MayClose {
		r.fault("the server closed the connection")
	}
}

func (r *run) fault(format string, args ...any) {
	r.res.Faults = append(r.res.Faults, fmt.Sprintf(format, args...))
}

// ProbeSession runs the rows one after the other in one session, RSET between
// them, and opens another session where the server closes or asks for one. All
// rows must begin in the same state. The results are in the order of the rows.
func ProbeSession(ctx context.Context, t Target, cases []Case, m Mode) []Result {
	results := make([]Result, 0, len(cases))
	var w *wire
	renamed := false
	for i, c := range cases {
		r := newRun(ctx, t, c, m)
		if i > 0 && t.Limits.RowPause > 0 {
			r.pause(t.Limits.RowPause)
		}
		r.w = w
		r.shared(renamed)
		w = r.w
		hello, protected := c.leaves()
		if renamed = hello; protected || r.res.Closed || r.ended || r.res.Err != nil {
			r.hangUp()
			w = nil
		}
		results = append(results, r.res)
	}
	if w != nil {
		w.close()
	}
	return results
}

// shared runs a row within a session that may have ended meanwhile. A row that
// meets the session's limit (421) is run again in a fresh session.
func (r *run) shared(renamed bool) {
	if r.w == nil || !r.rset(renamed) {
		r.hangUp()
		if r.res.Err = r.open(); r.res.Err != nil {
			return
		}
		r.attempt()
		return
	}
	r.attempt()
	if !r.limited() {
		return
	}
	r.hangUp()
	marker := r.res.Marker
	r.res = Result{Case: r.c, Mode: r.m, Marker: marker}
	if r.res.Err = r.open(); r.res.Err == nil {
		r.attempt()
	}
}

// attempt speaks the row and sees whether the session is still in step.
func (r *run) attempt() {
	r.script()
	r.stillInStep()
	r.conclude()
}

// rset drops the transaction of the row before; false: the session is of no use.
// EHLO does that too (RFC 5321 §4.1.4), and undoes a HELO of the row before.
func (r *run) rset(again bool) bool {
	line := "RSET\r\n"
	if again {
		line = "EHLO " + r.t.ehlo() + "\r\n"
	}
	r.w.write([]byte(line))
	_, outcome := r.w.readReply()
	return isReply(outcome, 2)
}

// leaves reports what a row does to a session beyond its transaction: it names the
// client anew, or it protects the connection.
func (c Case) leaves() (hello, protected bool) {
	for _, st := range c.steps {
		hello = hello || st.name == "ehlo" || st.name == "helo"
		protected = protected || st.act == actTLS || st.act == actOver
	}
	return hello, protected
}

// limited reports whether a reply of the run was the session's end by a limit.
func (r *run) limited() bool {
	for _, x := range r.res.Replies {
		if x.Reply.Code == 421 {
			return true
		}
	}
	return false
}

// stillInStep asks for exactly one reply to NOOP without ending the session.
func (r *run) stillInStep() {
	if r.ended || r.res.Err != nil {
		return
	}
	if r.w.gone {
		r.res.Closed = true
		return
	}
	if r.last == "354" || r.last == "334" {
		r.ended = true
		return
	}
	r.w.write([]byte("NOOP\r\n"))
	reply, outcome := r.w.readReply()
	switch {
	case outcome == OutcomeClose:
		r.res.Closed = true
	case reply.Code == 421:
		r.res.Closed = true
		r.note(Exchange{Name: "noop", Outcome: outcome, Reply: reply})
	case !isReply(outcome, 2):
		r.fault("NOOP got %s %s", outcome, reply)
	case r.w.buffered():
		r.fault("NOOP got more than one reply")
	}
}
