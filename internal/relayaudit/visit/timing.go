package visit

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/relayaudit/verdict"
)

// errOdd says that a server answered otherwise than before, so that a time says nothing.
var errOdd = errors.New("it answers otherwise now")

// timings asks, in turns, about a name that is there and names that nobody has, and notes how long each
// answer takes.
func (v *visitor) timings() {
	v.timeRecipients()
	v.timeSignIns()
}

// timeRecipients times RCPT, where it takes both: where it tells them apart in words, time is nothing
// that anybody needs.
func (v *visitor) timeRecipients() {
	local := v.d.Names.Local.ASCII()
	known := "postmaster@" + local
	if a := v.o.Account; !a.IsZero() && a.Domain() == v.d.Names.Local {
		known = a.String()
	}
	if there := last(v.d.Probes[verdict.ProbePostmaster], "rcpt"); !there.Took() || !v.d.Nobodies[local].Took() {
		return
	}
	v.timed("rcpt", v.o.Limits.Pairs, max(1, v.o.Limits.Session/2), func(t *talker, there bool) (time.Duration, verdict.Said, error) {
		to := known
		if !there {
			to = nobodyName() + "@" + local
		}
		if code, text, err := t.say("MAIL FROM:<>\r\n"); err != nil || code != 250 {
			return 0, verdict.Said{}, fmt.Errorf("%w: %d %s (%w)", errOdd, code, text, err)
		}
		took, said, err := t.timed("rcpt", "RCPT TO:<"+to+">")
		if err == nil && !said.Took() {
			err = errOdd
		}
		if err != nil {
			return 0, said, err
		}
		_, _, err = t.say("RSET\r\n")
		return took, said, err
	})
}

// last returns the last command with a verb.
func last(said []verdict.Said, verb string) (s verdict.Said) {
	for _, x := range said {
		if x.Verb == verb {
			s = x
		}
	}
	return s
}

// timeSignIns times refusals of wrong passwords: of the auditor's own account, and of names that
// nobody has.
func (v *visitor) timeSignIns() {
	a := v.o.Account
	if a.IsZero() {
		return
	}
	mechanism := ""
	for _, k := range slices.Concat(v.d.Clear, v.d.Hidden) {
		words := strings.Fields(strings.ToUpper(strings.Replace(k, "=", " ", 1)))
		if len(words) == 0 || words[0] != "AUTH" {
			continue
		}
		for _, m := range []string{"LOGIN", "PLAIN"} { // PLAIN where there are both
			if slices.Contains(words, m) {
				mechanism = m
			}
		}
	}
	if mechanism == "" {
		return
	}
	// One of either on a connection: many servers bear no third.
	v.timed("auth", v.o.Limits.SignIns, 1, func(t *talker, there bool) (time.Duration, verdict.Said, error) {
		user := a.String()
		if !there {
			user = nobodyName() + "@" + a.Domain().ASCII()
		}
		took, said, err := t.signIn(mechanism, user, rand.Text())
		if err == nil && said.Reply.Class() != mail.ClassPermanent {
			err = errOdd
		}
		return took, said, err
	})
}

// signIn tries a password, and times the answer to it. What is shown of it names no password.
func (t *talker) signIn(mechanism, user, password string) (took time.Duration, said verdict.Said, err error) {
	b64 := base64.StdEncoding.EncodeToString
	if mechanism == "PLAIN" {
		took, said, err = t.timed("auth", "AUTH PLAIN "+b64([]byte("\x00"+user+"\x00"+password)))
	} else {
		for _, line := range []string{"AUTH LOGIN", b64([]byte(user))} {
			if code, text, err := t.say(line + "\r\n"); err != nil || code != 334 {
				return 0, said, fmt.Errorf("%w: %d %s (%w)", errOdd, code, text, err)
			}
		}
		took, said, err = t.timed("auth", b64([]byte(password)))
	}
	said.Reply.Text = strings.ReplaceAll(said.Reply.Text, user, "(the name)") // it differs anyway
	said.Sent, said.Line = "AUTH "+mechanism+" (as "+user+", with a wrong password)", ""
	return took, said, err
}

// timed says a line and returns how long the answer took.
func (t *talker) timed(verb, line string) (time.Duration, verdict.Said, error) {
	began := time.Now()
	code, text, err := t.say(line + "\r\n")
	took := time.Since(began)
	return took, verdict.Said{Verb: verb, Line: line, Sent: mail.Shown(line), Outcome: strconv.Itoa(code), Reply: printed(mail.R(code, "", text))}, err
}

// timed asks pairs of questions, so many pairs on a connection and either first by chance, and adds their
// times to the door, until the server has enough of it.
func (v *visitor) timed(verb string, pairs, each int, ask func(t *talker, there bool) (time.Duration, verdict.Said, error)) {
	x := verdict.Timing{Verb: verb}
	shown := map[bool]verdict.Said{}
	v.step(0, pairs)
	for done := 0; done < pairs; done += each {
		err := v.within(func(t *talker) error {
			for range min(each, pairs-done) {
				there := mathrand.IntN(2) == 0
				var took [2]time.Duration
				for i, kind := range []bool{there, !there} {
					v.wait(v.o.Limits.Pace)
					d, said, err := ask(t, kind)
					if err != nil {
						return err
					}
					took[i], shown[kind] = d, said
				}
				if !there {
					took[0], took[1] = took[1], took[0]
				}
				x.There, x.Nobody = append(x.There, took[0]), append(x.Nobody, took[1])
			}
			return nil
		})
		v.step(min(each, pairs-done), 0)
		if err != nil {
			v.step(max(0, pairs-done-each), 0)
			break
		}
	}
	if len(x.There) > 0 {
		x.Said = []verdict.Said{shown[true], shown[false]}
		v.d.Timings = append(v.d.Timings, x)
	}
}

// within connects, greets, inside TLS where the door has it, and has fn talk.
func (v *visitor) within(fn func(*talker) error) error {
	ctx, cancel := context.WithTimeout(v.ctx, v.o.Limits.Probe.Dial+4*v.o.Limits.Probe.Reply)
	defer cancel()
	conn, err := v.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	end, _ := ctx.Deadline()
	_ = conn.SetDeadline(end)
	greeted := false
	if v.d.TLS.Asked && v.d.TLS.Fault == "" {
		if greeted = v.d.Kind != verdict.Submissions; greeted {
			if err := startTLS(conn, v.ehlo()); err != nil {
				return err
			}
		}
		c := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, ServerName: v.s.Host}) // nothing secret is said
		if err := c.HandshakeContext(ctx); err != nil {
			return err
		}
		conn = c
	}
	t := &talker{conn: conn, br: bufio.NewReaderSize(&bounded{conn, maxClear}, readOctets)}
	if !greeted {
		if code, text, err := t.reply(); err != nil || code != 220 {
			return fmt.Errorf("%w: %d %s (%w)", errOdd, code, text, err)
		}
	}
	if code, text, err := t.hello(v.ehlo()); err != nil || code != 250 {
		return fmt.Errorf("%w: %d %s (%w)", errOdd, code, text, err)
	}
	return fn(t)
}
