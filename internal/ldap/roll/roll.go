package roll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/ldap"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Source is one directory, and what is taken from it.
type Source struct {
	Name       string
	Options    ldap.Options
	Accounts   []mail.Domain // whose accounts it has
	Recipients []mail.Domain // behind us, whose recipients it knows
	Senders    []string      // groups that may send; none: everybody
	Receivers  []string      // groups that have a mailbox; none: everybody
	Every      time.Duration // from one list to the next
}

// Options are what a Roll is made of.
type Options struct {
	Sources []Source
	Store   store.Store
	// Adopt makes the accounts of a directory what its list says.
	Adopt func(context.Context, accounts.Listing, func(mail.Address, string) [][]byte) (accounts.Adopted, error)
	// Changing is held while a list is adopted, by which no entry of our own is changed meanwhile; nil: none ever is.
	Changing sync.Locker
	// Replaced plans what ends with the person who had an address that is another one's now; nil: nothing does.
	Replaced func(mail.Address) []store.Planner
	// Publish makes the directory of this server again, of what changed.
	Publish func(context.Context) error
	// Write records a fact that accompanies no other change.
	Write  func(context.Context, ...fact.Fact) error
	Now    func() time.Time
	Logger *slog.Logger
}

// Roll is all directories of one configuration.
type Roll struct {
	o       Options
	sources []*source
	retired chan struct{}
	once    sync.Once
}

// source is one directory of one configuration, with what outlives it.
type source struct {
	Source
	o         Options
	directory *ldap.Directory
	*state
}

// Build makes the next Roll of options; last is nil at the start. What is known of a directory
// of the same name is taken over.
func Build(ctx context.Context, o Options, last *Roll) (next *Roll, err error) {
	next = &Roll{o: o, retired: make(chan struct{})}
	var errs []error
	for _, s := range o.Sources {
		d, err := ldap.New(s.Options)
		if err != nil {
			errs = append(errs, fmt.Errorf("the directory %s: %w", s.Name, err))
			continue
		}
		known := last.stateOf(s.Name)
		if known == nil {
			if known, err = openState(ctx, o.Store, s.Name); err != nil {
				errs = append(errs, err)
			}
		}
		next.sources = append(next.sources, &source{Source: s, o: o, directory: d, state: known})
	}
	if err := errors.Join(errs...); err != nil {
		next.Retire()
		return nil, err
	}
	return next, nil
}

func (r *Roll) stateOf(name string) *state {
	if s := r.source(name); s != nil {
		return s.state
	}
	return nil
}

func (r *Roll) source(name string) *source {
	if r == nil {
		return nil
	}
	i := slices.IndexFunc(r.sources, func(s *source) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return r.sources[i]
}

// Retire ends the connections. It may be called more than once, and on nil.
func (r *Roll) Retire() {
	if r == nil {
		return
	}
	r.once.Do(func() { close(r.retired) })
	for _, s := range r.sources {
		s.directory.Close()
	}
}

// List returns a domain of ours with the recipients that a directory knows, and with whether
// all who exist there are known.
func (r *Roll) List(d directory.Domain) directory.Domain {
	if r == nil {
		return d
	}
	for _, s := range r.sources {
		switch {
		case slices.Contains(s.Recipients, d.Name):
			d.List, d.Unlisted = s.recipients(d.Name)
		case slices.Contains(s.Accounts, d.Name):
			d.Unlisted = !s.listed()
		}
	}
	return d
}

// Sources returns the directories, and what is taken from each.
func (r *Roll) Sources() (all []Source) {
	for _, s := range r.sources {
		all = append(all, s.Source)
	}
	return all
}

// Reports returns how each directory fares.
func (r *Roll) Reports() (all []Report) {
	if r == nil {
		return nil
	}
	for _, s := range r.sources {
		all = append(all, s.report())
	}
	return all
}

// Current is the Roll in force; before the first one it returns nil.
type Current func() *Roll

// Run follows the directories until ctx ends: at the start, after each reload, and then every
// so often.
func (c Current) Run(ctx context.Context) {
	for ctx.Err() == nil {
		c().follow(ctx)
	}
}

func (r *Roll) follow(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	for _, s := range r.sources {
		running.Go(func() { s.follow(ctx) })
	}
	select {
	case <-ctx.Done():
	case <-r.retired:
	}
	cancel()
	running.Wait()
}

// soonest is how soon a list that failed is asked for again, at the earliest.
const soonest = 10 * time.Second

func (s *source) follow(ctx context.Context) {
	for {
		wait := s.Every
		if !s.fetch(ctx) {
			wait = min(s.Every, max(soonest, s.Every/5))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// fetch takes in the list of now, if it is whole and plausible.
func (s *source) fetch(ctx context.Context) (good bool) {
	next, listing, err := s.ask(ctx)
	if err == nil {
		if why := s.last().implausible(next, s.Source); why != "" {
			err = errors.New(why)
		}
	}
	var done accounts.Adopted
	if err == nil && len(s.Accounts) > 0 {
		listing.Unlike = s.last().unlike(next)
		done, err = s.adopt(ctx, listing)
	}
	if ctx.Err() != nil {
		return true // it ends, or is retired
	}
	if err == nil {
		err = s.keep(ctx, s.o.Store, s.Name, next)
	}
	first := s.settled(err, next, done, s.o.Now())
	if err == nil {
		err = s.o.Publish(ctx)
	}
	switch {
	case err != nil:
		s.o.Logger.Error("the list of a directory is not taken in; the last good one stays", "ldap", s.Name, "err", err)
	case done.Added+done.Changed+done.Absent > 0:
		s.o.Logger.Info("the list of a directory was taken in", "ldap", s.Name, "people", next.People,
			"added", done.Added, "altered", done.Changed, "absent", done.Absent)
	}
	if first {
		s.tell(ctx, err)
	}
	return err == nil
}

func (s *source) adopt(ctx context.Context, l accounts.Listing) (accounts.Adopted, error) {
	if s.o.Changing != nil {
		s.o.Changing.Lock()
		defer s.o.Changing.Unlock()
	}
	l.Replaced = s.o.Replaced
	return s.o.Adopt(ctx, l, s.changed)
}

// tell records that lists fail, or are good again.
func (s *source) tell(ctx context.Context, err error) {
	a := fact.Alarm{At: s.o.Now(), Rule: RuleDirectoryBack, Text: "the directory " + s.Name + " lists its people again"}
	if err != nil {
		a.Rule, a.Text = RuleDirectoryAway, "the directory "+s.Name+" gives no list; the last good one stays: "+mail.ShownLine(err.Error(), mail.FaultShown)
	}
	if err := s.o.Write(ctx, a.Fact()); err != nil && ctx.Err() == nil {
		s.o.Logger.Error("fact not recorded", "kind", "alarm", "err", err)
	}
}

// changed is the fact about one account that a list changes.
func (s *source) changed(a mail.Address, change string) [][]byte {
	return fact.EncodeAll(fact.AccountChanged{At: s.o.Now(), Rule: RuleDirectory, Account: a.String(), Change: change,
		Evidence: []fact.Pair{{Name: "directory", Value: s.Name}}}.Fact())
}

// ask asks for everything that is taken from the directory.
func (s *source) ask(ctx context.Context) (next kept, l accounts.Listing, err error) {
	next = kept{At: s.o.Now().UTC(), Members: map[string]int{}, Recipients: map[string][]mail.Address{}, NamedBy: string(s.Options.Entry)}
	if len(s.Accounts) > 0 {
		list, err := s.directory.List(ctx)
		if err != nil {
			return next, l, err
		}
		l = s.listing(list, &next)
	}
	if len(s.Recipients) > 0 {
		all, err := s.directory.Recipients(ctx, s.Recipients)
		if err != nil {
			return next, l, err
		}
		for _, a := range all {
			name := a.Domain().ASCII()
			next.Recipients[name] = append(next.Recipients[name], a)
		}
	}
	return next, l, nil
}

// listing makes of a list what the accounts are to be, and notes in k what was seen.
func (s *source) listing(list ldap.List, k *kept) accounts.Listing {
	l := accounts.Listing{Directory: s.Name, Doubtful: map[string]bool{}}
	k.People, k.nameless, k.elsewhere = len(list.People), list.Nameless, list.Elsewhere
	for key, why := range list.Doubtful {
		l.Doubtful[key] = true
		k.doubtful = append(k.doubtful, key+": "+why)
	}
	slices.Sort(k.doubtful)
	for _, g := range s.Options.Groups {
		k.Members[g] = 0
	}
	for _, p := range list.People {
		for _, g := range p.Groups {
			k.Members[g]++
		}
		if !of(p.Groups, s.Receivers) {
			continue
		}
		l.People = append(l.People, accounts.Listed{
			Address: p.Address, DN: p.DN.String(), Entry: p.Entry, Aliases: p.Aliases,
			Sends: of(p.Groups, s.Senders),
		})
	}
	return l
}

// of reports whether somebody of these groups is of one that is wanted; none wanted: everybody is.
func of(groups, wanted []string) bool {
	return len(wanted) == 0 || slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(wanted, g) })
}
