package drill

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/drill/stage"
	"sallyport/internal/drill/verdict"
	"sallyport/internal/node"
)

// Place is where a server in a process of its own is rehearsed.
type Place struct {
	Dir   string
	Sinks stage.Sinks
}

// Serve runs the server of a rehearsal in this process, tells where it listens in one line of
// JSON, and serves until ctx ends, or the process does.
func Serve(ctx context.Context, o Options, p Place, tell io.Writer) error {
	s, err := stage.Open(ctx, stage.Options{Config: o.Config, Dir: p.Dir, Sinks: p.Sinks, Clock: new(stage.Clock), Logger: o.Logger})
	if err != nil {
		return err
	}
	if err := json.NewEncoder(tell).Encode(s.Addrs); err != nil {
		return errors.Join(err, s.Close())
	}
	<-ctx.Done()
	return s.Close()
}

const (
	killSenders = 12               // connections that bring mail at once
	killAfter   = 300              // acknowledgements; then the process is killed
	killMost    = 60 * time.Second // for those acknowledgements
)

// errNoChild says that there is no process to kill.
var errNoChild = errors.New("no process can be started to be killed")

// kill has a server in a process of its own killed while mail comes in by two doors, and starts
// another one over what is left.
func (a *act) kill(ctx context.Context) error {
	if a.o.Child == nil {
		return errNoChild
	}
	trusted := a.stage.TLS
	if err := a.stage.Close(); err != nil {
		return err
	}
	a.stage = nil
	cmd := a.o.Child(ctx, Place{a.dir, stage.Sinks{Outside: a.sinks[0].Addr(), Behind: a.sinks[1].Addr()}})
	addrs, err := started(cmd)
	if err != nil {
		return err
	}
	a.stage = &stage.Stage{Addrs: addrs, TLS: trusted}
	a.loadUntilKilled(ctx, cmd)
	a.stage = nil
	// A day later everything that waits for another try is due.
	clock := new(stage.Clock)
	clock.Advance(age + 24*time.Hour)
	return a.open(ctx, clock)
}

// started starts the process and reads where it listens.
func started(cmd *exec.Cmd) (addrs node.Addrs, err error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return addrs, err
	}
	if err := cmd.Start(); err != nil {
		return addrs, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &addrs)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("the process that is to be killed does not serve: %w", err), cmd.Process.Kill(), cmd.Wait())
	}
	return addrs, err
}

// loadUntilKilled sends until the process is gone, which it is after some acknowledgements.
func (a *act) loadUntilKilled(ctx context.Context, cmd *exec.Cmd) {
	var acked atomic.Int64
	var once sync.Once
	end := func() { once.Do(func() { _ = cmd.Process.Kill() }) }
	timer := time.AfterFunc(killMost, end)
	defer timer.Stop()
	each(killSenders, killSenders, func(i int) {
		d := doorMX
		if (i%3 == 0 || a.at(doorMX) == "") && a.people() {
			d = doorSubmissions
		}
		c, err := a.call(ctx, d, a.peer())
		if err != nil {
			return
		}
		defer c.Close()
		l := letter{actor: verdict.Owner, from: "friend@" + remoteDomain, to: []string{a.bob.Address, a.carol.Address}}
		if d == doorSubmissions {
			who := []stage.Account{a.alice, a.bob, a.carol}[i/3%3]
			if !good(c.signIn(who)) {
				return
			}
			l.account, l.from, l.to = who.Address, who.Address, []string{a.carol.Address, "partner@" + remoteDomain}
		}
		for n := 0; ; n++ {
			l.id = fmt.Sprintf("kill%d-%d", i, n)
			if !good(a.post(c, l)) {
				return
			}
			if acked.Add(1) >= int64(a.times(killAfter)) {
				end()
			}
		}
	})
	end()
	_ = cmd.Wait() // it was killed
}

const (
	followed = 10 // messages
	written  = 60 // from which they are chosen
)

// trace has messages of several kinds sent, and follows ten of those that arrived.
func (a *act) trace(ctx context.Context) error {
	kinds := []struct {
		d        door
		from, to string
		actor    verdict.Actor
	}{
		{doorMX, "friend@" + remoteDomain, a.alice.Address, verdict.Owner},
		{doorSubmissions, a.alice.Address, a.bob.Address, verdict.Owner},
		{doorSubmissions, a.bob.Address, "partner@" + remoteDomain, verdict.Owner},
		{doorSubmissions, a.carol.Address, "nobody@" + remoteDomain, verdict.Owner}, // comes back
		{doorMX, "victim@" + innocentDomain, "nobody@" + a.domain, verdict.Stranger},
	}
	for i := range a.times(written) {
		k := kinds[i%len(kinds)]
		if a.at(a.served(k.d)) == "" {
			continue
		}
		c, err := a.call(ctx, k.d, a.peer())
		if err != nil {
			return err
		}
		l := letter{id: fmt.Sprintf("way%d", i), actor: k.actor, from: k.from, to: []string{k.to}}
		for _, who := range []stage.Account{a.alice, a.bob, a.carol} {
			if k.d == doorSubmissions && who.Address == k.from {
				c.signIn(who)
				l.account = who.Address
			}
		}
		a.post(c, l)
		c.quit()
	}
	if err := a.look(ctx); err != nil {
		return err
	}
	a.looked = true
	return a.follow(ctx)
}

// follow asks the trace about ten of the messages that arrived.
func (a *act) follow(ctx context.Context) error {
	all := append(a.seen.Left[:len(a.seen.Left):len(a.seen.Left)], a.seen.Boxes...)
	a.rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, l := range all[:min(followed, len(all))] {
		asked, err := a.stage.Ask(ctx, l)
		if err != nil {
			return err
		}
		a.seen.Asked = append(a.seen.Asked, asked)
	}
	return nil
}
