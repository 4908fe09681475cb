package drill

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"sallyport/internal/drill/stage"
	"sallyport/internal/drill/verdict"
)

const (
	thieves        = 4   // connections of the thief at once
	most           = 200 // messages sent over each, unless they are stopped
	networkCount   = 500
	networksFirst  = 4   // of them come at once at first, as a thief does who keeps below the rates
	networksAtOnce = 120 // come at once then

	// aftermath is how much time passes after a theft until what it left is looked at: what was
	// told by letter has arrived.
	aftermath = 2 * time.Hour
)

// password is a thief at full speed, who comes back.
func (a *act) password(ctx context.Context) error {
	a.seen.Stolen = []string{a.alice.Address}
	if err := a.blast(ctx, "first"); err != nil {
		return err
	}
	// The hold window is over, and what was let through has left.
	a.stage.Clock.Advance(a.stage.Config.Hijack.Hold + time.Minute)
	if err := a.stage.Settle(ctx, settleTime); err != nil {
		return err
	}
	if err := a.blast(ctx, "again"); err != nil {
		return err
	}
	a.stage.Clock.Advance(aftermath)
	return nil
}

// blast sends from several sessions until none of them is served any more.
func (a *act) blast(ctx context.Context, turn string) error {
	var failed atomic.Pointer[error]
	each(thieves, thieves, func(i int) {
		d := doorSubmissions
		if i%2 == 1 {
			d = doorSubmission
		}
		c, err := a.call(ctx, d, a.peer())
		if err != nil {
			failed.CompareAndSwap(nil, &err)
			return
		}
		defer c.Close()
		r := c.signIn(a.alice)
		for m := 0; good(r) && m < a.times(most); m++ {
			r = a.post(c, a.stolen(a.alice, fmt.Sprintf("%s%d-%d", turn, i, m)))
		}
	})
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// stolen is a message of a thief to somebody whom nobody here knows.
func (a *act) stolen(of stage.Account, id string) letter {
	return letter{id: id, actor: verdict.Thief, account: of.Address, from: of.Address, to: []string{id + "@" + remoteDomain}}
}

// networks is one password from everywhere, with one message from each network.
func (a *act) networks(ctx context.Context) error {
	a.seen.Stolen = []string{a.bob.Address}
	var failed atomic.Pointer[error]
	one := func(i int) {
		c, err := a.call(ctx, doorSubmissions, a.peer())
		if err != nil {
			failed.CompareAndSwap(nil, &err)
			return
		}
		defer c.Close()
		if good(c.signIn(a.bob)) {
			a.post(c, a.stolen(a.bob, fmt.Sprintf("net%d", i)))
		}
	}
	n, first := a.times(networkCount), a.times(networkCount)/25
	each(first, networksFirst, one)
	each(n-first, networksAtOnce, func(i int) { one(first + i) })
	if err := failed.Load(); err != nil {
		return *err
	}
	a.stage.Clock.Advance(a.stage.Config.Hijack.Hold + time.Minute)
	if err := a.stage.Settle(ctx, settleTime); err != nil {
		return err
	}
	a.stage.Clock.Advance(aftermath)
	return nil
}

// lookalike writes as somebody else, in every way that a header and an envelope have.
func (a *act) lookalike(ctx context.Context) error {
	if a.people() {
		if err := a.liars(ctx); err != nil || a.at(doorMX) == "" {
			return err
		}
	}
	return a.impostor(ctx)
}

// liars write as a colleague, with an account.
func (a *act) liars(ctx context.Context) error {
	me, other := a.alice.Address, a.bob.Address
	forms := []string{
		"From: <" + other + ">\r\n",
		"From: Bob <" + other + ">\r\n",
		"From: \"" + me + "\" <" + other + ">\r\n",
		"From: =?UTF-8?Q?Bob?= <" + other + ">\r\n",
		"From: <" + me + ">, <" + other + ">\r\nSender: <" + me + ">\r\n",
		"From: <" + me + ">\r\nFrom: <" + other + ">\r\n",
		"From: <" + other + ">\r\nSender: <" + me + ">\r\n",
		"From: <" + me + ">\r\nSender: <" + other + ">\r\n",
		"From: <" + me + ">\r\nResent-From: <" + other + ">\r\n",
		"From: friends: <" + other + ">;\r\n",
		"From: <" + strings.Replace(me, "@", "@p\u0430y.", 1) + ">\r\n",
		"From: <ceo@" + innocentDomain + ">\r\n",
		"From:\r\n <" + other + ">\r\n",
		"From : <" + other + ">\r\n",
		"FROM: (" + me + ") " + other + "\r\n",
		"Subject: none\r\n",
	}
	for i, from := range []string{other, "ceo@" + a.domain, "ceo@" + innocentDomain} {
		if err := a.lie(ctx, a.carol, letter{id: fmt.Sprintf("liar-envelope%d", i), from: from, authors: "From: <" + a.carol.Address + ">\r\n"}); err != nil {
			return err
		}
	}
	for i, authors := range forms {
		// Whoever lies often is stopped: two share it.
		who := []stage.Account{a.alice, a.carol}[i%2]
		l := letter{id: fmt.Sprintf("liar%d", i), from: who.Address, authors: strings.ReplaceAll(authors, me, who.Address)}
		if err := a.lie(ctx, who, l); err != nil {
			return err
		}
	}
	return nil
}

// lie sends one message on a connection of its own. An account that was stopped meanwhile has
// told enough lies.
func (a *act) lie(ctx context.Context, who stage.Account, l letter) error {
	c, err := a.call(ctx, doorSubmissions, a.peer())
	if err != nil {
		return err
	}
	defer c.quit()
	if good(c.signIn(who)) {
		l.actor, l.account, l.to = verdict.Liar, who.Address, []string{a.bob.Address}
		if good(a.post(c, l)) {
			// What was taken arrives before the account is stopped for what is refused.
			a.stage.Clock.Advance(a.stage.Config.Hijack.Hold + time.Minute)
			return a.stage.Settle(ctx, settleTime)
		}
	}
	return nil
}

// impostor writes from outside with the envelope sender of somebody here.
func (a *act) impostor(ctx context.Context) error {
	c, err := a.call(ctx, doorMX, a.peer())
	if err != nil {
		return err
	}
	defer c.quit()
	a.post(c, letter{id: "impostor", actor: verdict.Stranger, from: a.bob.Address, to: []string{a.carol.Address}})
	return nil
}
