package node

import (
	"context"
	"crypto/tls"
	"errors"

	"sallyport/internal/config"
	"sallyport/internal/ldap/roll"
	"sallyport/internal/node/inspection"
	"sallyport/internal/node/outflow"
	"sallyport/internal/oidc"
)

// generation is what one state of the configuration amounts to. It is built whole
// and never changed; who needs something of it takes the generation in force, once
// for each thing that must be consistent.
type generation struct {
	number int
	cfg    config.Config // as in force: keys that need a restart have their running values

	tls       *tls.Config // nil: no certificate
	ways      *outflow.Ways
	provider  *oidc.Judge // nil: no access token signs in
	inspected *inspection.State
	roll      *roll.Roll // the directories of an organisation

	undo []func() // what building did to the world outside; called if it comes to nothing
	then []func() // what puts it in force beyond being current; none of them fails
}

// topic is a part of the server. Every block of the configuration belongs to one: topics
// lists them.
type topic struct {
	name string
	// open makes what lives as long as the Node, once, before anything is built; nil:
	// there is nothing of the kind.
	open func(context.Context) error
	// build fills the topic's fields of next from next.cfg, or says what is wrong
	// with it. It takes over from last what need not change, so that connections and
	// what was learnt live on; last is nil when the server starts. Nothing that is in
	// use may change: what must change is appended to next.then, and what was done to
	// the world outside (a bound address, say) is taken back by next.undo. nil: the
	// configuration has no say here.
	build func(ctx context.Context, next, last *generation) error
}

// topics lists what takes part in a start and in each reload, in the order in which it is
// opened, and then built. The directory is held from its build until it is in force, so
// that it is built late.
func (n *Node) topics() []topic {
	return []topic{
		{"book", n.openBook, nil},
		{"identity", n.openIdentity, n.buildIdentity},
		{"return paths", nil, n.buildReturnPath},
		{"watchers", n.openWatchers, n.buildWatchers},
		{"sender binding", nil, n.buildBinding},
		{"outflow", nil, n.buildOutflow},
		{"access tokens", nil, n.buildProvider},
		{"inspection", nil, n.buildInspection},
		{"reporting", n.openReporting, n.buildReporting},
		{"inspectors", n.openInspection, nil},
		{"limits", nil, n.buildLimits},
		{"directories elsewhere", nil, n.buildDirectories},
		{"directory", nil, n.buildDirectory},
		{"deliveries", n.openOutflow, nil},
		{"doors", n.openDoors, n.buildDoors},
		{"letters", n.openLetters, n.buildLetters},
		{"operator", n.openOperator, nil},
	}
}

// open opens every topic.
func (n *Node) open(ctx context.Context) error {
	for _, t := range n.topics() {
		if t.open == nil {
			continue
		}
		if err := t.open(ctx); err != nil {
			return err
		}
	}
	return nil
}

// adopt puts a generation in force.
func (n *Node) adopt(g *generation) {
	n.current.Store(g)
	for _, then := range g.then {
		then()
	}
}

// build makes the generation of a configuration. Every topic has its say, so that
// all faults are told at once; on an error nothing has happened.
func (n *Node) build(ctx context.Context, cfg config.Config, last *generation) (*generation, error) {
	next := &generation{number: 1, cfg: cfg}
	if last != nil {
		next.number = last.number + 1
	}
	var errs []error
	for _, t := range n.topics() {
		if t.build == nil {
			continue
		}
		if err := t.build(ctx, next, last); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		next.abandon()
		next.retire(last)
		return nil, errors.Join(errs...)
	}
	return next, nil
}

// take has what was built put in force with the generation, or taken back; not what failed.
func (g *generation) take(change interface {
	Adopt()
	Abandon()
}, err error) error {
	if err == nil {
		g.then, g.undo = append(g.then, change.Adopt), append(g.undo, change.Abandon)
	}
	return err
}

// abandon takes back what building did.
func (g *generation) abandon() {
	for _, undo := range g.undo {
		undo()
	}
}

// retire ends what only this generation has. Deliveries under way go on, and their
// connections end with them.
func (g *generation) retire(heir *generation) {
	if heir == nil {
		heir = &generation{}
	}
	g.ways.Retire(heir.ways)
	g.inspected.Retire()
	g.roll.Retire()
}

// now returns the generation in force.
func (n *Node) now() *generation { return n.current.Load() }

// config returns the configuration in force.
func (n *Node) config() config.Config { return n.now().cfg }
