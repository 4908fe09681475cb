package letters

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/ca"
	"sallyport/internal/fact"
	"sallyport/internal/filter/flood"
	"sallyport/internal/incident"
	"sallyport/internal/incident/webhook"
	"sallyport/internal/letter/notify"
	"sallyport/internal/mail"
	"sallyport/internal/node/datafolder/foldertest"
	"sallyport/internal/node/settings"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

const day = 24 * time.Hour

// openOn opens a desk on a machine, from which nobody can be reached, and has a program told of incidents.
func openOn(t *testing.T, m *foldertest.Machine) *desk {
	t.Helper()
	d := openIn(t, m.World(settings.World{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("nobody answers") }}))
	d.configure(hook)
	change, err := d.Build(d.cfg)
	if err != nil {
		t.Fatal(err)
	}
	change.Adopt()
	return d
}

// keeper contains accounts, and frees them.
func (d *desk) keeper() incident.Keeper {
	return incident.Keeper{Log: incident.NewLog(d.data.Store), Accounts: d.data.Accounts, Queue: d.data.Spool, EndSessions: func(mail.Address) int { return 0 }, Now: d.o.Now}
}

// contain contains alice.
func (d *desk) contain() {
	d.t.Helper()
	if _, _, _, err := d.keeper().Contain(d.t.Context(), incident.Incident{Account: d.alice, Rule: "hijack", By: "a test", Reason: "somebody else"}); err != nil {
		d.t.Fatal(err)
	}
}

// kept is what the store keeps in a space.
func (d *desk) kept(s store.Space) (all []string) {
	d.t.Helper()
	err := d.data.Store.Scan(d.t.Context(), s.All(), func(k, v []byte) (bool, error) {
		all = append(all, string(k)+" "+string(v))
		return true, nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

// state is how the program fares that is told of incidents.
func (d *desk) state() webhook.State {
	d.t.Helper()
	s, err := d.Webhook.State(d.t.Context())
	if s == nil || err != nil {
		d.t.Fatalf("%+v, %v", s, err)
	}
	return *s
}

// eventually waits for something that happens in the background.
func (d *desk) eventually(what string, is func() bool) {
	d.t.Helper()
	for until := time.Now().Add(30 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			d.t.Errorf("not within 30 s: %s", what)
			return
		}
	}
}

// facts are those of a kind.
func (d *desk) facts(kind fact.Kind) (all []fact.Fact) {
	d.t.Helper()
	err := d.data.Store.Facts(d.t.Context(), 1, d.data.Store.FactHead()+1, func(_ uint64, raw []byte) (bool, error) {
		f, err := fact.Decode(raw)
		if f.Kind == kind {
			all = append(all, f)
		}
		return true, err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

// Whoever writes goes by the clock of the world: what is due is told of, and when that was is what that clock showed.
func TestLettersGoByTheClock(t *testing.T) {
	m := foldertest.NewMachine()
	d := openOn(t, m)
	if _, err := d.data.DeviceCA.Rollover(t.Context(), false, func(ca.Authority) [][]byte { return nil }); err != nil {
		t.Fatal(err)
	}
	m.Pass(time.Duration(ca.DefaultLimits().Years)*365*day - 200*day) // it ends within a year
	if err := d.post.Send(t.Context(), notify.Letter{Rule: "a test", To: d.alice, Subject: "a bounce", Text: "x\n"}); err != nil {
		t.Fatal(err)
	}
	if n, err := d.data.Spool.Hold(t.Context(), spool.Filter{}, flood.Rule+": a test", nil); n != 1 || err != nil {
		t.Fatalf("%d bounces are held, %v", n, err)
	}
	m.Pass(flood.DefaultLimits().Quiet + time.Minute)
	before := m.Now()
	d.contain()
	_, end := d.run()
	defer end()
	shown := before.Format(time.RFC3339)
	d.eventually("the administrator is told of the authority that ends", func() bool { return len(d.kept(store.SpaceExpiry)) == 1 })
	d.eventually("the mailbox is told of the bounces that were held", func() bool {
		all := d.kept(store.SpaceFloods)
		return len(all) == 1 && strings.Contains(all[0], `"at":"`+shown)
	})
	d.eventually("administrator and owner are told of the incident", func() bool {
		all := d.kept(store.SpaceNotices)
		return len(all) == 1 && strings.HasSuffix(all[0], " "+shown)
	})
	d.eventually("the program is told of the incident, in vain", func() bool { return d.state().Tried.Equal(before) })
	d.eventually("four letters more are written", func() bool { return len(d.facts(fact.KindNotify)) == 5 })
	for _, f := range append(d.facts(fact.KindNotify)[1:], d.facts(fact.KindAlarm)...) {
		if !f.At.Equal(before) {
			t.Errorf("by a clock that showed %v it is told: %+v", before, f)
		}
	}
}

// What is forgotten, and what is given up, is as old as the time that passed: it is not kept because somebody set the clock back.
func TestWhatIsForgottenGoesByTheTimeThatPassed(t *testing.T) {
	m := foldertest.NewMachine()
	d := openOn(t, m)
	told := store.SpaceExpiry.Key(fmt.Appendf(nil, "%020d owner alice@local.test cert1", m.Now().Unix()))
	if _, err := d.data.Store.Apply(t.Context(), store.Tx{Mutations: []store.Mutation{{Key: told, Value: []byte("1")}, {Key: store.SpaceWebhook.Key([]byte("from")), Value: []byte("1")}}}, store.Durable); err != nil {
		t.Fatal(err)
	}
	d.contain()
	if _, a, err := d.keeper().Free(t.Context(), d.alice, incident.StateReleased, "me", "it was me", true); err != nil || a.Standing != accounts.StandingActive {
		t.Fatalf("%+v, %v", a, err)
	}
	m.Pass(100 * day)
	d.data.Clock.Now() // the server sees that it passed
	m.Set(-150 * day)
	_, end := d.run()
	defer end()
	d.eventually("it is forgotten who was told of an end that is long over", func() bool { return len(d.kept(store.SpaceExpiry)) == 0 })
	d.eventually("a program that does not answer is told no more of what is long over", func() bool { return d.state().GivenUp == 2 })
}
