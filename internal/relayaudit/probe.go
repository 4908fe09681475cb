package relayaudit

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/mail"
)

// Exchange is one step as it was spoken, and what came of it.
type Exchange struct {
	Name    string     `json:"name"`    // as the expectation calls it
	Sent    string     `json:"sent"`    // escaped and cut
	Outcome string     `json:"outcome"` // the reply's code, or an Outcome word
	Reply   mail.Reply `json:"reply,omitzero"`

	line string // as sent, without its end; of commands only
}

// Line returns the command as it was sent, without CR LF: octets that nobody has made
// printable. It is empty for what is no command.
func (x Exchange) Line() string { return x.line }

// words returns the outcome for a report.
func (x Exchange) words() string {
	if x.Reply.Code != 0 {
		return x.Reply.String()
	}
	return x.Outcome
}

// Result is one run of one row. What was delivered is not part of it: see Judge.
type Result struct {
	Case    Case
	Mode    Mode
	Marker  string // stands in every message of the run
	Replies []Exchange
	Faults  []string // what the replies show to be wrong
	Err     error    // the row could not be run at all
	Closed  bool     // the server closed the connection
}

// Signature returns the decisions of the run without their words, for comparison
// with another mode: the first digit of every reply, "-" where there was none.
func (r Result) Signature() string {
	var b strings.Builder
	for _, x := range r.Replies {
		if x.Reply.Code == 0 {
			b.WriteString(" " + x.Name + ":-")
			continue
		}
		fmt.Fprintf(&b, " %s:%d", x.Name, x.Reply.Code/100)
	}
	return strings.TrimSpace(b.String())
}

// Probe runs one row against t on a connection of its own, and checks at the end
// that NOOP gets exactly one reply, or that the connection is closed.
func Probe(ctx context.Context, t Target, c Case, m Mode) Result {
	r := newRun(ctx, t, c, m)
	if err := r.open(); err != nil {
		r.res.Err = err
		r.hangUp()
		return r.res
	}
	defer r.hangUp()
	r.script()
	r.lastWord()
	r.conclude()
	return r.res
}

// run is one row being spoken.
type run struct {
	ctx     context.Context
	t       Target
	c       Case
	m       Mode
	w       *wire
	vars    map[string]string
	tickets tls.ClientSessionCache
	res     Result

	out     []byte     // octets not yet written
	pending []Exchange // commands whose replies are not yet read
	last    string     // outcome of the last reply
	ended   bool       // we closed the connection ourselves
}

// mostTickets is how many tickets of TLS a probe keeps: one for each door, and as many that came later.
const mostTickets = 4

func newRun(ctx context.Context, t Target, c Case, m Mode) *run {
	addr, _ := t.door(c.State, m)
	marker := "probe" + strings.ToLower(rand.Text())
	return &run{
		ctx: ctx, t: t, c: c, m: m,
		vars:    t.vars(c, addr, marker),
		tickets: tls.NewLRUClientSessionCache(mostTickets),
		res:     Result{Case: c, Mode: m, Marker: marker},
	}
}

// hangUp drops the connection, if there is one.
func (r *run) hangUp() {
	if r.w != nil {
		r.w.close()
	}
}

// script speaks every step.
func (r *run) script() {
	for _, st := range r.c.steps {
		if r.ctx.Err() != nil {
			r.res.Err = r.ctx.Err()
			return
		}
		if err := r.step(st); err != nil {
			r.res.Err = err
			return
		}
	}
	r.sync()
}

// step speaks one step.
func (r *run) step(st step) error {
	switch st.act {
	case actCommand, actMute:
		return r.command(st, st.act == actMute)
	case actTimes:
		return r.times(st)
	case actLoad:
		return r.load(st)
	case actChunk:
		return r.chunk(st)
	}
	r.sync()
	text, err := st.text.expand(r.vars)
	if err != nil {
		return err
	}
	octets := bytes.Join(text, nil)
	switch st.act {
	case actGreeting:
		r.await(Exchange{Name: st.name})
	case actTLS:
		r.handshake()
	case actBody, actBodyMute:
		r.whenDue("354", st, text)
	case actResponse:
		r.whenDue("334", st, withLineEnd(text, st.open))
	case actPlain:
		r.w.writeBeneath(append(octets, '\r', '\n'))
		r.await(Exchange{Name: st.name, Sent: printable(octets)})
	case actCloseNotify:
		r.w.closeNotify()
		r.w.writeBeneath(append(octets, '\r', '\n'))
		r.await(Exchange{Name: st.name, Sent: printable(octets)})
	case actPause:
		r.pause(time.Duration(st.n) * time.Millisecond)
	case actOver:
		return r.over(st)
	case actClose, actReset:
		r.end(st.act)
	}
	return nil
}

// command queues a command line, and awaits its reply at once unless commands may
// still be added to the same write.
func (r *run) command(st step, mute bool) error {
	text, err := st.text.expand(r.vars)
	if err != nil {
		return err
	}
	text = withLineEnd(text, st.open)
	if len(text) > 1 {
		r.sync()
		r.pieces(text)
	} else {
		r.out = append(r.out, text[0]...)
	}
	octets := bytes.Join(text, nil)
	x := Exchange{Name: st.name, Sent: printable(octets), line: string(bytes.TrimSuffix(octets, []byte("\r\n")))}
	if mute {
		r.flush()
		return nil
	}
	r.pending = append(r.pending, x)
	if r.m.Split != Pipelined || endsGroup(st.name) {
		r.sync()
	}
	return nil
}

// endsGroup reports whether a command must be the last of those written at once.
// RFC 2920 §3.1; NOOP and QUIT are let through, since servers must cope with them.
func endsGroup(name string) bool {
	switch name {
	case "ehlo", "helo", "data", "starttls", "auth":
		return true
	}
	return false
}

// times repeats a command until it was sent n times or the server has gone.
func (r *run) times(st step) error {
	r.sync()
	text, err := st.text.expand(r.vars)
	if err != nil {
		return err
	}
	text = withLineEnd(text, st.open)
	for range st.n {
		r.send(bytes.Join(text, nil))
		r.await(Exchange{Name: st.name, Sent: printable(text[0])})
		if r.w.gone {
			break
		}
	}
	return nil
}

// load sends a whole message by DATA or by BDAT.
func (r *run) load(st step) error {
	text, err := st.text.expand(r.vars)
	if err != nil {
		return err
	}
	if !bytes.HasSuffix(bytes.Join(text, nil), []byte("\r\n")) {
		text = withLineEnd(text, false)
	}
	if st.bdat {
		r.queueChunk(st.name, bytes.Join(text, nil), " LAST")
		r.sync()
		return nil
	}
	r.out = append(r.out, "DATA\r\n"...)
	r.pending = append(r.pending, Exchange{Name: "data", Sent: "DATA"})
	r.sync()
	text[len(text)-1] = append(text[len(text)-1], ".\r\n"...)
	r.whenDue("354", st, text)
	return nil
}

// chunk sends one chunk by BDAT. RFC 3030 §2: it may be pipelined.
func (r *run) chunk(st step) error {
	text, err := st.text.expand(r.vars)
	if err != nil {
		return err
	}
	last := ""
	if st.last {
		last = " LAST"
	}
	r.queueChunk(st.name, bytes.Join(text, nil), last)
	if r.m.Split != Pipelined {
		r.sync()
	}
	return nil
}

func (r *run) queueChunk(name string, octets []byte, last string) {
	r.out = fmt.Appendf(r.out, "BDAT %d%s\r\n%s", len(octets), last, octets)
	r.pending = append(r.pending, Exchange{Name: name, Sent: "BDAT " + printable(octets)})
}

// whenDue sends text if the last reply asked for it; a step that is not due is
// noted as skipped.
func (r *run) whenDue(code string, st step, text [][]byte) {
	x := Exchange{Name: st.name, Sent: printable(bytes.Join(text, nil)), Outcome: OutcomeSkip}
	if r.last != code {
		if r.w.gone {
			x.Outcome = OutcomeClose
		}
		r.note(x)
		return
	}
	r.pieces(text)
	if st.act == actBodyMute {
		return
	}
	r.await(x)
}

func (r *run) handshake() {
	x := Exchange{Name: "tls", Outcome: OutcomeSkip}
	switch {
	case r.w.gone:
		x.Outcome = OutcomeClose
	case r.last == "220":
		x.Outcome = OutcomeOK
		if err := r.w.handshake(r.ctx, r.t.tlsConfig(r.tickets)); err != nil {
			x.Outcome, x.Sent, r.w.gone = OutcomeFail, err.Error(), true
		}
	}
	r.note(x)
}

// over leaves the connection and opens another, with the TLS tickets of the first.
func (r *run) over(st step) error {
	addr, implicit := r.t.port(st.n)
	r.w.close()
	w, err := dial(r.ctx, r.m.Source, addr, r.t.Limits)
	if err != nil {
		return err
	}
	r.w = w
	if implicit {
		if err := w.handshake(r.ctx, r.t.tlsConfig(r.tickets)); err != nil {
			return err
		}
	}
	r.await(Exchange{Name: st.name})
	return nil
}

func (r *run) end(a action) {
	r.ended = true
	if a == actReset {
		r.w.reset()
		return
	}
	r.w.close()
}

func (r *run) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.ctx.Done():
	}
}

// sync writes what is queued and reads the replies that are due.
func (r *run) sync() {
	r.flush()
	pending := r.pending
	r.pending = nil
	for _, x := range pending {
		r.await(x)
	}
}

func (r *run) flush() {
	out := r.out
	r.out = nil
	r.send(out)
}

func (r *run) send(b []byte) {
	if r.m.Split == Bytes {
		r.w.writeBytes(b)
		return
	}
	r.w.write(b)
}

// pieceTime lies between two pieces of a text: it lets the server read each alone.
const pieceTime = 3 * time.Millisecond

// pieces writes the parts of a text that {CUT} made, each by itself.
func (r *run) pieces(text [][]byte) {
	for i, piece := range text {
		if i > 0 {
			r.pause(pieceTime)
		}
		r.send(piece)
	}
}

// await reads one reply for x.
func (r *run) await(x Exchange) {
	x.Reply, x.Outcome = r.w.readReply()
	r.note(x)
}

func (r *run) note(x Exchange) {
	r.last = x.Outcome
	r.res.Replies = append(r.res.Replies, x)
}

func withLineEnd(text [][]byte, open bool) [][]byte {
	if !open {
		text[len(text)-1] = append(text[len(text)-1], '\r', '\n')
	}
	return text
}

// isReply reports whether an outcome is a reply of the class.
func isReply(outcome string, class int) bool {
	n, err := strconv.Atoi(outcome)
	return err == nil && n/100 == class
}
