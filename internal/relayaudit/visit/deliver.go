package visit

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/relayaudit"
	"sallyport/internal/relayaudit/verdict"
)

// offer is one way of addressing an address of the auditor's own.
type offer struct{ form, to string }

// offers returns the ways in which a message for local@domain may leave through a server whose
// own domain is another: the plain one, and the old ones at a domain of its own.
func offers(local, domain, own string) []offer {
	return []offer{
		{"plain", local + "@" + domain},
		{"percent", local + "%" + domain + "@" + own},
		{"quoted", `"` + local + "@" + domain + `"@` + own},
		{"bang", domain + "!" + local + "@" + own},
	}
}

// deliver completes one message for each address of the auditor's own that is not at a domain of
// the server: that is mail which it must not take.
func (v *visitor) deliver() {
	for _, to := range v.o.Deliver {
		local, domain, _ := strings.Cut(to, "@")
		if v.isOwn(domain) {
			continue
		}
		v.d.Messages = append(v.d.Messages, v.message(to, offers(local, domain, v.d.Names.Local.ASCII())))
	}
}

// isOwn reports whether the server takes mail for a domain, or may call itself so.
func (v *visitor) isOwn(domain string) bool {
	for _, d := range v.d.Names.Own {
		if strings.EqualFold(domain, d.ASCII()) || strings.HasSuffix(strings.ToLower(domain), "."+d.ASCII()) {
			return true
		}
	}
	return false
}

// message offers one message in each way until one is taken. It is from the address that it is
// for, so that a bounce reaches nobody else.
func (v *visitor) message(to string, ways []offer) verdict.Message {
	m := verdict.Message{To: to, Mark: "audit" + strings.ToLower(rand.Text()[:16])}
	for _, w := range ways {
		asked := v.ask(transaction(to, w.to), v.opened(), relayaudit.Mode{})
		m.Form = w.form
		if m.Said = saidOf(asked); !lastSaid(asked, "rcpt").Took() {
			continue
		}
		text := fmt.Sprintf("{LOAD}From: <%s>\\r\\nTo: <%s>\\r\\nSubject: sallyport audit %s\\r\\nDate: %s\\r\\nMessage-ID: <%s@%s>\\r\\n\\r\\nThe server at %s took this message for you, which shows that it relays.\\r\\n",
			escaped(to), escaped(to), m.Mark, time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"), m.Mark, v.d.Names.Away.ASCII(), v.d.At)
		r := v.ask(transaction(to, w.to)+" ⏎ "+text, v.opened(), relayaudit.Mode{})
		m.Said = saidOf(r)
		if m.Whole = lastSaid(r, "end").Took(); m.Whole {
			m.Back, _ = v.await(m.Mark)
			return m
		}
	}
	return m
}

// bounce sends a message for a name that nobody has, where the server takes such names: what comes back
// comes to the auditor, and would come to whoever a stranger names.
func (v *visitor) bounce() {
	if nobody := v.d.Nobodies[v.d.Names.Local.ASCII()]; !nobody.Took() {
		return
	}
	for _, from := range v.o.Deliver {
		if _, domain, _ := strings.Cut(from, "@"); v.isOwn(domain) {
			continue
		}
		b := &v.d.Bounce
		b.From, b.To, b.Mark = from, nobodyName()+"@"+v.d.Names.Local.ASCII(), "audit"+strings.ToLower(rand.Text()[:16])
		text := fmt.Sprintf("{LOAD}From: <%s>\\r\\nTo: <%s>\\r\\nSubject: sallyport audit %s\\r\\nDate: %s\\r\\nMessage-ID: <%s@%s>\\r\\n\\r\\nThe server at %s took this message for a name that nobody has.\\r\\n",
			escaped(from), escaped(b.To), b.Mark, time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"), b.Mark, v.d.Names.Away.ASCII(), v.d.At)
		r := v.ask(transaction(from, b.To)+" ⏎ "+text, v.opened(), relayaudit.Mode{})
		b.Said = saidOf(r)
		if b.Whole = lastSaid(r, "end").Took(); b.Whole {
			b.Back, b.Awaited = v.await(b.Mark)
		}
		return
	}
}

// await waits for what comes to an address of the auditor's own, if somebody listens there.
func (v *visitor) await(mark string) (*verdict.Back, time.Duration) {
	if v.o.Await == nil {
		return nil, 0
	}
	began := time.Now()
	from, subject, came := v.o.Await(v.ctx, mark, v.o.Limits.Await)
	if !came {
		return nil, v.o.Limits.Await
	}
	return &verdict.Back{From: mail.Shown(from), Subject: mail.Shown(subject), After: time.Since(began)}, time.Since(began)
}

// errNoMessage says that no message could be begun.
var errNoMessage = errors.New("it took no message")

// sequences are ends of data that are none: only CR LF . CR LF is one. RFC 5321 §4.1.1.4.
var sequences = [...]string{
	"\n.\n", "\n.\r\n", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\r.\r", "\n.\r", "\r\n\x00.\r\n", "\r\n.\x00\r\n",
	"\r\n.\r\r\n",
}

// smuggle begins a message for an address of the auditor's own that this server takes mail for,
// and says every sequence within it. The message is never ended: the connection is dropped. Only
// a server that ends it by itself delivers it, and is asked no further.
func (v *visitor) smuggle() {
	for _, to := range v.o.Deliver {
		_, domain, _ := strings.Cut(to, "@")
		// By the null sender: at its own server an address of the auditor's is not a stranger's to use.
		r := v.ask(transaction("", to), v.opened(), relayaudit.Mode{})
		if !v.isOwn(domain) || !lastSaid(r, "rcpt").Took() {
			v.d.Smuggled.Why = "No address that was named with --deliver is at this server."
			continue
		}
		v.d.Smuggled = verdict.Smuggling{Asked: true, Mark: "audit" + strings.ToLower(rand.Text()[:16])}
		v.sequences(to)
		return
	}
}

// sequences says all of them, in as many messages as the server wants. Where it takes none, it is asked again after
// a rest, and what was not said stays untold.
func (v *visitor) sequences(to string) {
	tries, rest := 1, v.o.Limits.Rest
	for left := sequences[:]; len(left) > 0 && v.d.Smuggled.Ended == ""; {
		n, err := v.sequence(to, left)
		switch {
		case errors.Is(err, errNoMessage) && tries < v.o.Limits.Busy:
			v.wait(rest)
			tries, rest = tries+1, 2*rest
			continue
		case errors.Is(err, errNoMessage):
			v.d.Smuggled.Asked = false
			v.d.Smuggled.Why = mail.Shown(fmt.Sprintf("%d of %d ends of data were said; then %v.", len(sequences)-len(left), len(sequences), err))
			return
		case err != nil && n == 0:
			n = 1 // it hung up at this one, which is as good as a refusal
		}
		left = left[n:]
	}
}

// begin leads a connection to the point where a message begins.
func (v *visitor) begin(talk *talker, to string) error {
	for _, step := range []struct {
		say  func() (int, string, error)
		want int
	}{
		{talk.reply, 220},
		{func() (int, string, error) { return talk.hello(v.ehlo()) }, 250},
		{func() (int, string, error) { return talk.say("MAIL FROM:<>\r\n") }, 250},
		{func() (int, string, error) { return talk.say("RCPT TO:<" + to + ">\r\n") }, 250},
		{func() (int, string, error) { return talk.say("DATA\r\n") }, 354},
	} {
		switch code, text, err := step.say(); {
		case err != nil:
			return err
		case code != step.want:
			return fmt.Errorf("%d %s", code, text)
		}
	}
	return nil
}

// sequence says sequences within one message until the server answers or hangs up, and returns
// how many were said.
func (v *visitor) sequence(to string, left []string) (said int, err error) {
	ctx, cancel := context.WithTimeout(v.ctx, v.o.Limits.Probe.Dial+4*v.o.Limits.Probe.Reply)
	defer cancel()
	conn, err := v.dial(ctx)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errNoMessage, err)
	}
	defer conn.Close()
	end, _ := ctx.Deadline()
	_ = conn.SetDeadline(end)
	talk := &talker{conn: conn, br: bufio.NewReaderSize(&bounded{conn, maxClear}, readOctets)}
	header := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: sallyport audit %s\r\n\r\nA server that ends this message here can be made to read another one in it.\r\n",
		to, to, v.d.Smuggled.Mark)
	if err := v.begin(talk, to); err != nil {
		return 0, fmt.Errorf("%w: %w", errNoMessage, err)
	}
	if _, err := conn.Write([]byte(header)); err != nil {
		return 0, err
	}
	for i, s := range left {
		if _, err := conn.Write([]byte("before" + s)); err != nil {
			return i, err
		}
		v.d.Smuggled.Tried = append(v.d.Smuggled.Tried, strconv.QuoteToASCII(s))
		lull, at := v.o.Limits.Lull, strconv.QuoteToASCII(s)
		if i == len(left)-1 { // a server that looks into messages before it answers is as late as that
			lull, at = max(lull, v.o.Limits.LastLull), at+", or one of those before"
		}
		_ = conn.SetReadDeadline(time.Now().Add(lull))
		code, text, err := talk.reply()
		switch {
		case isTimeout(err): // it waits for more, as it should
		case err != nil, code >= 400:
			return i + 1, err
		default:
			v.d.Smuggled.Ended = at
			v.d.Smuggled.Answer = verdict.Said{
				Verb: "end", Sent: strconv.QuoteToASCII("before" + s), Outcome: strconv.Itoa(code),
				Reply: mail.R(code, "", mail.Shown(text)),
			}
			return i + 1, nil
		}
		if _, err := conn.Write([]byte("after\r\n")); err != nil {
			return i + 1, err
		}
	}
	return len(left), nil
}

func isTimeout(err error) bool {
	t, ok := err.(net.Error)
	return ok && t.Timeout()
}

// talker speaks SMTP where the octets within a message matter.
type talker struct {
	conn net.Conn
	br   *bufio.Reader
}

// hello says EHLO, and HELO to a server that does not know it.
func (t *talker) hello(name string) (code int, text string, err error) {
	if code, text, err = t.say("EHLO " + name + "\r\n"); err == nil && code >= 500 {
		return t.say("HELO " + name + "\r\n")
	}
	return code, text, err
}

func (t *talker) say(line string) (int, string, error) {
	if _, err := t.conn.Write([]byte(line)); err != nil {
		return 0, "", err
	}
	return t.reply()
}

// reply reads one reply and returns its code and last line.
func (t *talker) reply() (code int, text string, err error) {
	for {
		line, err := t.br.ReadString('\n')
		if err != nil {
			return 0, "", err
		}
		line = strings.TrimRight(line, "\r\n")
		if len(line) < 3 {
			return 0, line, errTalks
		}
		if code, err = strconv.Atoi(line[:3]); err != nil {
			return 0, line, err
		}
		if len(line) == 3 || line[3] == ' ' {
			return code, strings.TrimSpace(line[3:]), nil
		}
	}
}
