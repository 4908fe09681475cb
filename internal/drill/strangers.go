package drill

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"

	"sallyport/internal/drill/verdict"
	"sallyport/internal/operate"
)

const (
	victims   = 45_000 // of the stranger of 1997
	perCall   = 19     // recipients that are named on one connection before it is cut
	strangers = 48     // connections at once
	forwarded = 10     // messages to an account that forwards
)

// stranger tries to relay to everybody, by the world's door and by those of our people.
func (a *act) stranger(ctx context.Context) error {
	calls := a.times(victims) / perCall
	var failed atomic.Pointer[error]
	each(calls, strangers, func(i int) {
		if err := a.advertise(ctx, i); err != nil {
			failed.CompareAndSwap(nil, &err)
		}
	})
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// advertise is one connection of the stranger.
func (a *act) advertise(ctx context.Context, i int) error {
	d := doorMX
	if (i%50 == 49 || a.at(doorMX) == "") && a.people() {
		d = doorSubmission // without signing in
	}
	c, err := a.call(ctx, d, a.peer())
	if err != nil {
		return err
	}
	defer c.Close()
	from := "victim@" + innocentDomain
	if i%10 == 9 {
		from = a.bob.Address // somebody of ours
	}
	l := letter{id: fmt.Sprintf("ad%d", i), actor: verdict.Stranger, from: from}
	for n := range perCall {
		l.to = append(l.to, relayForm(n, fmt.Sprintf("r%d-%d", i, n), a.domain))
	}
	a.post(c, l)
	return nil
}

// relayForm is an address of somebody elsewhere, in one of the forms that servers were made
// to relay by.
func relayForm(n int, local, ours string) string {
	switch n {
	case 1:
		return local + "%" + remoteDomain + "@" + ours
	case 2:
		return remoteDomain + "!" + local + "@" + ours
	case 3:
		return "@" + ours + ":" + local + "@" + remoteDomain
	case 4:
		return `"` + local + "@" + remoteDomain + `"@` + ours
	}
	return local + "@" + remoteDomain
}

// gateway is the stranger and everybody else from this host's own address.
func (a *act) gateway(ctx context.Context) error {
	here := netip.Addr{}
	for i, before := range []string{"", "XCLIENT ADDR=10.0.0.1 LOGIN=" + a.alice.Address, "XFORWARD ADDR=10.0.0.1", "PROXY TCP4 10.0.0.1 10.0.0.2 1 25", "AUTH EXTERNAL =", "HELO localhost"} {
		for _, d := range []door{doorMX, doorSubmission, doorSubmissions} {
			if a.at(d) == "" {
				continue
			}
			c, err := a.call(ctx, d, here)
			if err != nil {
				return err
			}
			if before != "" {
				c.say(before)
			}
			l := letter{
				id: fmt.Sprintf("gw%d-%d", i, d), actor: verdict.Stranger, from: "victim@" + innocentDomain,
				to: []string{"friend@" + remoteDomain, "other@" + remoteDomain},
			}
			a.post(c, l)
			l.id, l.from = l.id+"own", a.bob.Address
			a.post(c, l)
			_ = c.Close()
		}
	}
	if !a.people() {
		return nil
	}
	// And whoever has an account is served all the same.
	c, err := a.call(ctx, doorSubmissions, here)
	if err != nil {
		return err
	}
	defer c.quit()
	c.signIn(a.alice)
	a.post(c, letter{id: "gw-owner", actor: verdict.Owner, account: a.alice.Address, from: a.alice.Address, to: []string{a.bob.Address}})
	return nil
}

// forward has mail come for an account that forwards, before and after it may not send.
func (a *act) forward(ctx context.Context) error {
	if !a.stage.Config.Forward.External {
		return errNoForward
	}
	target := "elsewhere@" + remoteDomain
	a.seen.Forwards = []string{target}
	if _, err := a.stage.Operator.ForwardAdd(ctx, operate.ForwardAdd{Account: a.carol.Address, Targets: []string{target}, Keep: true}); err != nil {
		return err
	}
	if _, err := a.stage.Operator.AccountFreeze(ctx, operate.AccountReason{Address: a.carol.Address, Reason: "rehearsal"}); err != nil {
		return err
	}
	a.seen.Frozen = a.carol.Address
	c, err := a.call(ctx, doorMX, a.peer())
	if err != nil {
		return err
	}
	defer c.quit()
	for i := range forwarded {
		a.post(c, letter{
			id: fmt.Sprintf("fw%d", i), actor: verdict.Stranger, from: "victim@" + innocentDomain,
			to: []string{a.carol.Address},
		})
	}
	return nil
}

// endings are ends of data that some servers take for one and others don't.
func endings() []string {
	return []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\n.\r", "\r\n.\r\r\n", "\r\n\x00.\r\n", "\r\n.\x00\r\n"}
}

// smuggling hides a message within another, on the way in and on the way out.
func (a *act) smuggling(ctx context.Context) error {
	a.seen.Smuggled = true
	doors := slices.DeleteFunc([]door{doorMX, doorSubmissions}, func(d door) bool { return a.at(a.served(d)) == "" })
	if len(doors) == 0 {
		return errNoDoor
	}
	for i, end := range endings() {
		for _, d := range doors {
			c, err := a.call(ctx, d, a.peer())
			if err != nil {
				return err
			}
			l := letter{
				id: fmt.Sprintf("outer%d-%d", i, d), actor: verdict.Stranger,
				from: "victim@" + innocentDomain, to: []string{a.alice.Address},
			}
			hidden := letter{
				id: fmt.Sprintf("hidden%d-%d", i, d), actor: verdict.Smuggler,
				from: "victim@" + innocentDomain, authors: "From: <ceo@" + a.domain + ">\r\n",
				to: []string{a.alice.Address},
			}
			if d == doorSubmissions {
				c.signIn(a.alice)
				l.actor, l.account, l.from, l.to = verdict.Owner, a.alice.Address, a.alice.Address, []string{a.bob.Address}
				hidden.from, hidden.to = a.alice.Address, []string{a.bob.Address}
			}
			l.body = "Hello." + end + "MAIL FROM:<" + hidden.from + ">\r\nRCPT TO:<" + hidden.to[0] + ">\r\nDATA\r\n" + hidden.text() + ".\r\nRest.\r\n"
			a.post(c, l)
			// What was taken for commands is answered.
			c.say("NOOP")
			_ = c.Close()
		}
	}
	return nil
}
