package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"sallyport/internal/mail"
)

// Send sends one message to the recipients of env. body must hold exactly size
// octets and end in io.EOF only if it is undamaged: the end of the message is not
// sent before. There is exactly one outcome for each of env.To, in their order,
// always. The error, if any, only says that the connection is of no more use; it
// wraps ErrNothingSent when no octet of the message was sent, and ErrSignedOut when the
// server asked us to sign in although we had: then the recipients that it refused so are
// deferred, and it is another sign-in that helps.
//
// Recipients beyond what the server said that it takes at once (RFC 9422) are
// deferred with 452 4.5.3, as are those that the server itself puts off; both may
// be sent again at once, in another transaction.
func (cl *Client) Send(ctx context.Context, env mail.Envelope, size int64, body io.Reader) ([]mail.Outcome, error) {
	cl.turn.Lock()
	defer cl.turn.Unlock()
	t := newTransaction(cl, env, size)
	defer context.AfterFunc(ctx, func() { cl.c.fail(interrupted(ctx)) })()
	err := t.run(body)
	t.settle(err)
	if t.signedOut {
		cl.c.fail(ErrSignedOut)
		err = &ConnError{Stage: StageIdle, Err: ErrSignedOut}
	}
	if cl.o.TLS.Failed {
		t.spare()
	}
	if err == nil && !cl.c.alive() {
		err = cl.c.fault(StageIdle)
	}
	if err != nil && !t.started {
		err = fmt.Errorf("%w (%w)", err, ErrNothingSent)
	}
	return t.out, err
}

// spare defers what is refused for want of TLS, where it is the server's TLS that failed:
// RFC 3207 §4, 530; X.7.10 and X.7.11, encryption needed. It may work again.
func (t *transaction) spare() {
	for i, o := range t.out {
		e := o.Reply.Enhanced
		if o.Failed() && (o.Reply.Code == 530 || e.Subject == 7 && (e.Detail == 10 || e.Detail == 11)) {
			t.out[i].Reply, t.out[i].Said = mail.R(454, "4.7.0", "TLS failed, and without it the server says: "+o.Reply.String()), false
		}
	}
}

// transaction is one message on its way. Its recipients are undecided, then
// perhaps accepted by RCPT, then decided by a reply.
type transaction struct {
	cl        *Client
	env       mail.Envelope
	size      int64
	out       []mail.Outcome // a Reply that is zero is undecided
	accepted  []bool
	count     int // of accepted
	mailOK    bool
	dataOK    bool // 354 was said
	started   bool // part of the message may have been sent
	signedOut bool // the server asked us to sign in, and we had
}

func newTransaction(cl *Client, env mail.Envelope, size int64) *transaction {
	t := &transaction{cl: cl, env: env, size: size, out: make([]mail.Outcome, len(env.To)), accepted: make([]bool, len(env.To))}
	for i, to := range env.To {
		t.out[i] = mail.Outcome{Recipient: to.Address, Remote: cl.remote, TLS: cl.tls, Policy: cl.o.TLS.Name, Notifies: cl.caps.Has(dsn)}
	}
	return t
}

func (t *transaction) run(body io.Reader) error {
	commands := t.plan()
	if commands == nil {
		return nil
	}
	if !t.cl.usable() {
		t.cl.c.fail(ErrClosed)
		return t.cl.c.fault(StageIdle)
	}
	t.cl.sent++
	if err := t.envelope(commands); err != nil {
		return err
	}
	switch {
	case t.count > 0 && (t.dataOK || t.chunking()):
		return t.message(body)
	case t.dataOK:
		return t.emptyMessage()
	}
	return nil
}

// settle gives a reply to every recipient that has none yet.
func (t *transaction) settle(err error) {
	r, decide := mail.R(451, "4.3.0", "the server left the recipient undecided"), t.decide
	var unasked *unaskedError
	if err != nil {
		r = ReplyFor(err)
		// A server may refuse a message before its end, and often hangs up then;
		// it cannot accept one.
		if c := mail.ClassNone; t.started && errors.As(err, &unasked) {
			if c = unasked.reply.Class(); c == mail.ClassTransient || c == mail.ClassPermanent {
				r, decide = unasked.reply, t.said
			}
		}
	}
	for i := range t.out {
		decide(i, r)
	}
}

func (t *transaction) decide(i int, r mail.Reply) {
	if t.out[i].Reply.IsZero() {
		t.out[i].Reply = r
	}
}

func (t *transaction) decideAll(r mail.Reply) {
	for i := range t.out {
		t.decide(i, r)
	}
}

// said decides by what the server answered.
func (t *transaction) said(i int, r mail.Reply) {
	switch {
	case !t.out[i].Reply.IsZero():
	case t.cl.o.Auth != nil && asksWhoWeAre(r):
		// A token may end, or be withdrawn, between two commands: that says nothing of the
		// message.
		t.signedOut = true
		t.out[i].Reply = mail.R(454, "4.7.0", ErrSignedOut.Error()+": "+brief(r).String())
	default:
		t.out[i].Reply, t.out[i].Said = brief(r), true
	}
}

// saidOctets is how much of the text of a reply an outcome keeps: there may be thousands of recipients, and a server
// can say much of each.
const saidOctets = 2 << 10

// brief is a reply of which no more is kept than that.
func brief(r mail.Reply) mail.Reply {
	if len(r.Text) > saidOctets {
		r.Text = strings.ToValidUTF8(r.Text[:saidOctets], "")
	}
	return r
}

// asksWhoWeAre reports whether a reply to MAIL or what follows it is about signing in.
// RFC 4954 §6: 530, authentication required; 535, credentials invalid.
func asksWhoWeAre(r mail.Reply) bool { return r.Code == 530 || r.Code == 535 }

func (t *transaction) saidAll(r mail.Reply) {
	for i := range t.out {
		t.said(i, r)
	}
}

func (t *transaction) chunking() bool { return t.cl.caps.Has(chunking) }

// command is one line on its way, with the recipient that it is about.
type command struct {
	stage Stage
	rcpt  int
	line  []byte
}

// plan decides what the server cannot be asked, and returns the commands for the
// rest; none when nothing is left to ask.
func (t *transaction) plan() []command {
	if r := t.refusal(); !r.IsZero() {
		t.decideAll(r)
		return nil
	}
	from, err := mailCommand(t.cl.caps, t.env, t.size)
	if err != nil {
		t.decideAll(mail.R(553, "5.1.7", "the sender's address cannot be sent"))
		return nil
	}
	var commands []command
	if t.cl.dirty {
		commands = append(commands, command{stage: StageReset, line: []byte("RSET\r\n")})
	}
	commands = append(commands, command{stage: StageMail, line: from})
	rcpts := t.recipients()
	if rcpts == nil {
		return nil
	}
	commands = append(commands, rcpts...)
	if !t.chunking() {
		commands = append(commands, command{stage: StageData, line: []byte("DATA\r\n")})
	}
	return commands
}

// refusal says why the message cannot go to this server at all; the zero Reply if
// it can.
func (t *transaction) refusal() mail.Reply {
	limit, _ := t.cl.caps.Params(sizes)
	switch {
	case t.size < 0:
		return mail.R(451, "4.3.0", "the length of the message is not known")
	case t.env.TLS == mail.RequireTLS && !t.cl.verified():
		return mail.R(550, "5.7.10", "the message requires TLS with a verified server, and this connection has none") // RFC 8689 §4.2.1
	case t.env.TLS == mail.RequireTLS && !t.cl.caps.Has("REQUIRETLS"):
		return mail.R(550, "5.7.30", "the message requires TLS all the way, and the next server does not support that (REQUIRETLS)")
	case t.env.Body == mail.BodyBinaryMIME:
		return mail.R(554, "5.6.1", "binary messages are not sent")
	case t.needsUTF8() && !t.cl.caps.Has("SMTPUTF8"):
		return noUTF8()
	case len(limit) > 0 && exceeds(t.size, limit[0]):
		return mail.R(552, "5.3.4", "the message is larger than the next server takes") // RFC 1870 §5
	}
	return mail.Reply{}
}

// needsUTF8 reports whether the message as a whole may only go to a server with SMTPUTF8:
// for its sender or its header section. An LMTP server stores a header as it is, in the
// user's mailbox, and passes it to nobody who could not read it.
func (t *transaction) needsUTF8() bool {
	return t.env.UTF8Sender() || t.env.SMTPUTF8 && !t.cl.o.LMTP
}

// noUTF8 refuses what a server without SMTPUTF8 cannot be given. RFC 6531 §3.5.
func noUTF8() mail.Reply {
	return mail.R(550, "5.6.7", "the next server does not take internationalised addresses")
}

// recipients writes RCPT for as many recipients as the server takes at once.
func (t *transaction) recipients() []command {
	var commands []command
	domains := map[string]struct{}{}
	full := false
	for i, to := range t.env.To {
		if !to.Address.IsASCII() && !t.cl.caps.Has("SMTPUTF8") {
			t.decide(i, noUTF8()) // the others get theirs
			continue
		}
		line, err := rcptCommand(t.cl.caps, to)
		if err != nil {
			t.decide(i, mail.R(553, "5.1.3", "the recipient's address cannot be sent"))
			continue
		}
		_, known := domains[to.Address.Domain().ASCII()]
		full = full || t.cl.maxRcpts > 0 && len(commands) >= t.cl.maxRcpts ||
			!known && t.cl.maxDomains > 0 && len(domains) >= t.cl.maxDomains
		if full {
			t.decide(i, mail.R(452, "4.5.3", "the next server takes no more recipients at once"))
			continue
		}
		domains[to.Address.Domain().ASCII()] = struct{}{}
		commands = append(commands, command{stage: StageRcpt, rcpt: i, line: line})
	}
	return commands
}

// envelope sends the commands, in groups where the server takes them. RFC 2920.
func (t *transaction) envelope(commands []command) error {
	end := time.Now().Add(t.cl.o.Timeouts.Envelope)
	for len(commands) > 0 {
		// Without an accepted recipient there is nothing to send DATA for.
		if commands[0].stage == StageData && t.count == 0 {
			break
		}
		group := commands[:t.group(commands)]
		commands = commands[len(group):]
		if err := t.converse(group, end); err != nil {
			return err
		}
		if !t.mailOK && group[len(group)-1].stage != StageReset {
			break
		}
	}
	return nil
}

// group returns how many commands may be sent before their replies are read: few
// enough that they and their replies fit into the sockets' buffers, or both sides
// could wait for each other. RFC 2920 §3.1.
func (t *transaction) group(commands []command) int {
	if !t.cl.caps.Has(pipelining) {
		return 1
	}
	octets := 0
	for i, cmd := range commands {
		octets += len(cmd.line)
		if i > 0 && (octets > t.cl.o.Limits.PipelineOctets || i >= t.cl.o.Limits.Pipeline) {
			return i
		}
	}
	return len(commands)
}

// converse sends a group and takes its replies.
func (t *transaction) converse(group []command, end time.Time) error {
	var lines []byte
	for _, cmd := range group {
		lines = append(lines, cmd.line...)
	}
	c := t.cl.c
	if err := c.send(group[0].stage, lines, len(group)); err != nil {
		return err
	}
	for _, cmd := range group {
		r, err := c.wait(cmd.stage, min(t.timeout(cmd.stage), time.Until(end)))
		if err != nil {
			return err
		}
		if !t.took(cmd, r) {
			return c.nonsense(cmd.stage, r)
		}
	}
	return nil
}

func (t *transaction) timeout(s Stage) time.Duration {
	switch s {
	case StageReset:
		return t.cl.o.Timeouts.Reset
	case StageMail:
		return t.cl.o.Timeouts.Mail
	case StageData:
		return t.cl.o.Timeouts.DataInit
	}
	return t.cl.o.Timeouts.Rcpt
}

// took takes the reply to a command; false when it makes no sense there.
// RFC 5321 §4.3.2 lists the replies that do.
func (t *transaction) took(cmd command, r mail.Reply) bool {
	refused := r.Class() == mail.ClassTransient || r.Class() == mail.ClassPermanent
	switch cmd.stage {
	case StageReset:
		t.cl.dirty = false
		return r.Code == 250
	case StageMail:
		t.mailOK = completed(r)
		t.cl.dirty = t.cl.dirty || t.mailOK
		if refused && !t.unkeptParameters(cmd, r) {
			t.saidAll(r)
		}
		return t.mailOK || refused
	case StageRcpt:
		if completed(r) && t.mailOK {
			t.accepted[cmd.rcpt] = true
			t.count++
			return true
		}
		if refused && t.mailOK {
			switch {
			case t.unkeptOrder(r):
				return false
			case t.unkeptParameters(cmd, r):
				return true
			}
		}
		if refused {
			t.said(cmd.rcpt, rcptRefusal(r, t.count > 0))
		}
		return refused
	case StageData:
		t.dataOK = r.Code == 354
		if refused && t.count > 0 && t.unkeptOrder(r) {
			return false
		}
		if refused {
			t.saidAll(r)
		}
		return t.dataOK || refused
	}
	return false
}

// completed reports whether a reply says that the command was done. Of the 2yz
// replies only 25z can; 220 or 221 here comes from a server out of step.
func completed(r mail.Reply) bool { return r.Code >= 250 && r.Code <= 259 }

// rcptRefusal reads 552 as the "too many recipients" of old servers, and so 452 of one that took
// others before, unless its enhanced code tells otherwise. RFC 5321 §4.5.3.1.10.
func rcptRefusal(r mail.Reply, behindOthers bool) mail.Reply {
	silent := r.Enhanced == mail.Enhanced{}
	if r.Code == 552 && (silent || r.Enhanced == mail.Enhanced{Class: 5, Subject: 5, Detail: 3}) || r.Code == 452 && silent && behindOthers {
		return mail.R(452, "4.5.3", r.Text)
	}
	return r
}
