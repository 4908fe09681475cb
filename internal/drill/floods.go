package drill

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"sallyport/internal/drill/verdict"
)

const (
	wrongAddresses = 6_000
	forgedBounces  = 14_000
	// bouncesAtOnce is how many bounces a remote server brings on one connection.
	bouncesAtOnce = 20
)

// bounces has mail come for people who do not exist, and bounces of mail that nobody sent.
func (a *act) bounces(ctx context.Context) error {
	if a.at(doorMX) == "" {
		return errNoDoor
	}
	// A server behind us may send by itself, so that no bounce to its domain counts as forged.
	a.seen.Flooded = !a.behind
	wrong, forged := a.times(wrongAddresses)/perCall, a.times(forgedBounces)
	a.besieged(wrong*perCall+forged, func() {
		each(wrong, strangers, func(i int) { a.wrongAddresses(ctx, i) })
		// Each remote server brings some on one connection.
		each(forged/bouncesAtOnce, strangers, func(i int) {
			c, err := a.knock(ctx, doorMX, a.peer())
			if err != nil {
				return
			}
			defer c.quit()
			for n := range bouncesAtOnce {
				id := fmt.Sprintf("bounce%d-%d", i, n)
				if a.post(c, letter{id: id, actor: verdict.Bouncer, to: []string{"postmaster@" + a.domain}, authors: "From: MAILER-DAEMON@" + remoteDomain + "\r\n", fields: reportField, body: a.returned(id, a.bob.Address)}) == "" {
					return
				}
			}
		})
		a.honest(ctx)
	})
	return nil
}

// wrongAddresses is one connection that asks for people who do not exist.
func (a *act) wrongAddresses(ctx context.Context, i int) {
	c, err := a.knock(ctx, doorMX, a.peer())
	if err != nil {
		return
	}
	defer c.Close()
	l := letter{id: fmt.Sprintf("wrong%d", i), actor: verdict.Stranger, from: fmt.Sprintf("innocent%d@%s", i, innocentDomain)}
	for n := range perCall {
		l.to = append(l.to, fmt.Sprintf("nobody%d-%d@%s", i, n, a.domain))
	}
	if i%10 == 0 { // and for one who does
		l.to = append(l.to, a.carol.Address)
	}
	a.post(c, l)
}

// reportField makes a message a bounce; RFC 6522.
const reportField = "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\nAuto-Submitted: auto-replied\r\n"

// returned is the body of a bounce that returns a message of somebody, which was never sent from
// here.
func (a *act) returned(id, of string) string {
	return "--b\r\nContent-Type: text/plain\r\n\r\nYour message could not be delivered.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n" +
		"Reporting-MTA: dns; mx." + remoteDomain + "\r\n\r\nFinal-Recipient: rfc822; gone@" + remoteDomain + "\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n" +
		"--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: <" + of + ">\r\nTo: <gone@" + remoteDomain + ">\r\nMessage-ID: <never-" + id + "-" + of + ">\r\nSubject: cheap\r\n\r\nBuy.\r\n--b--\r\n"
}

const (
	bombOctets       = 100 << 20 // of one message
	bombers          = 6         // that say nothing of the size beforehand
	announcers       = 60        // that say it
	bombersAtOnce    = 3         // bombers that come at once
	announcersAtOnce = 10        // announcers that come at once
)

// bombs are bounces with attachments beyond any bound.
func (a *act) bombs(ctx context.Context) error {
	if a.at(doorMX) == "" {
		return errNoDoor
	}
	a.seen.Bombed = true
	a.besieged(a.times(bombers)+a.times(announcers), func() {
		var all sync.WaitGroup
		all.Go(func() { each(a.times(bombers), bombersAtOnce, func(i int) { a.bomb(ctx, i) }) })
		all.Go(func() { each(a.times(announcers), announcersAtOnce, func(i int) { a.announce(ctx, i) }) })
		all.Go(func() { a.honest(ctx) })
		all.Wait()
	})
	return nil
}

// announce names the size of a message at MAIL. RFC 1870 §6.
func (a *act) announce(ctx context.Context, i int) {
	c, err := a.knock(ctx, doorMX, a.peer())
	if err != nil {
		return
	}
	defer c.quit()
	if !good(c.say(fmt.Sprintf("MAIL FROM:<> SIZE=%d", bombOctets))) {
		return
	}
	c.say("RCPT TO:<" + a.alice.Address + ">")
	c.say("RSET")
	_ = i
}

// bomb sends one without a word of its size.
func (a *act) bomb(ctx context.Context, i int) {
	c, err := a.knock(ctx, doorMX, a.peer())
	if err != nil {
		return
	}
	defer c.Close()
	if !good(c.say("MAIL FROM:<>")) || !good(c.say("RCPT TO:<"+a.alice.Address+">")) || !strings.HasPrefix(c.say("DATA"), "354") {
		return
	}
	l := letter{
		id: fmt.Sprintf("bomb%d", i), actor: verdict.Bomber, to: []string{a.alice.Address},
		authors: "From: MAILER-DAEMON@" + remoteDomain + "\r\n", fields: reportField,
		body: a.returned("bomb", "friend@"+remoteDomain),
	}
	size := int64(len(l.text()))
	if c.put(l.text()) != nil {
		return
	}
	line := strings.Repeat("QUJD", 19) + "\r\n"
	block := strings.Repeat(line, (64<<10)/len(line))
	for ; size < bombOctets; size += int64(len(block)) {
		if c.put(block) != nil {
			break
		}
	}
	if good(c.say(".")) {
		a.acknowledged(verdict.Ack{ID: l.id, To: l.to, Size: size})
	}
}
