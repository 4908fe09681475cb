package node

import (
	"context"
	"errors"
	"fmt"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/directory/proof"
	"sallyport/internal/directory/roster"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
)

// stated is what the configuration states of the directory.
type stated struct {
	cfg  config.Config
	base directory.Config
	// standing is the roster as it stands, where another one is judged: what it lacks was
	// not added yet. nil: the judged one stands.
	standing *roster.State
}

func stateOf(cfg config.Config) (stated, error) {
	base := directoryConfig(cfg)
	return stated{cfg: cfg, base: base}, readLists(cfg, base.Domains)
}

// build makes the directory of the configuration, the roster and the accounts, and
// checks the whole of it. The faults say where each entry stands, and how to be rid
// of it.
func (st stated) build(s *roster.State, accounts []mail.Address) (*directory.Snapshot, error) {
	cfg, faults := st.with(s)
	snapshot, err := directory.NewSnapshot(cfg, accounts)
	if err == nil {
		err = snapshot.Check()
	}
	var found directory.Faults
	if err != nil && !errors.As(err, &found) {
		return nil, err
	}
	if faults = append(faults, found...); len(faults) > 0 {
		return nil, st.explained(faults, s)
	}
	return snapshot, nil
}

// with adds the entries of the roster to those of the configuration. What cannot be
// read, and a domain whose way of delivery this release does not know, is a fault.
func (st stated) with(s *roster.State) (directory.Config, directory.Faults) {
	var faults directory.Faults
	cfg := st.base
	// The slices are shared with other builds.
	cfg.Domains = append([]directory.Domain(nil), st.base.Domains...)
	cfg.Aliases = append([]directory.Alias(nil), st.base.Aliases...)
	for _, d := range s.Domains() {
		known, err := config.NewDomain(d.Name, d.Deliver)
		if err != nil {
			faults = append(faults, directory.Fault{About: []directory.Subject{{Kind: directory.KindDomain, Name: d.Name.String()}},
				Text: "the domain " + d.Name.String() + " has no way of delivery: " + err.Error()})
			continue
		}
		known.Postmaster = d.Postmaster
		cfg.Domains = append(cfg.Domains, domainOf(known))
	}
	for _, a := range s.Aliases() {
		cfg.Aliases = append(cfg.Aliases, a.Alias)
	}
	for _, f := range s.Forwards() {
		cfg.Forwards = append(cfg.Forwards, f.Forward)
	}
	for _, d := range s.Delegates() {
		cfg.Delegates = append(cfg.Delegates, d.Delegate)
	}
	for _, d := range s.Damaged() {
		name := mail.Printable(d.Ref.Name(), 2*mail.MaxPathOctets)
		faults = append(faults, directory.Fault{About: []directory.Subject{{Kind: d.Ref.Kind, Name: name}},
			Text: fmt.Sprintf("the stored %s %s cannot be read: %s", d.Ref.Kind, name, d.Why)})
	}
	return cfg, faults
}

// explained adds to each fault where the entries stand that it is about.
func (st stated) explained(faults directory.Faults, s *roster.State) error {
	if st.standing != nil {
		s = st.standing
	}
	added := addedSubjects(s)
	out := make(directory.Faults, len(faults))
	for i, f := range faults {
		out[i] = f
		for _, about := range f.About {
			if at, ok := st.position(about); ok {
				out[i].Text += fmt.Sprintf("; the %s %s is stated in %s", about.Kind, about.Name, at)
			}
			if added[about] {
				out[i].Text += fmt.Sprintf("; the %s %s was added with a command, and is removed with: sallyport %s rm %s", about.Kind, about.Name, about.Kind, about.Name)
			}
			if about.Kind == directory.KindAccount {
				out[i].Text += "; the account is removed with: sallyport account rm " + about.Name
			}
		}
	}
	return out
}

// addedSubjects names what the roster holds.
func addedSubjects(s *roster.State) map[directory.Subject]bool {
	added := map[directory.Subject]bool{}
	for _, d := range s.Domains() {
		added[directory.Subject{Kind: directory.KindDomain, Name: d.Name.String()}] = true
	}
	for _, a := range s.Aliases() {
		added[a.Subject()] = true
	}
	for _, f := range s.Forwards() {
		added[f.Subject()] = true
	}
	for _, d := range s.Delegates() {
		added[d.Subject()] = true
	}
	for _, d := range s.Damaged() {
		added[directory.Subject{Kind: d.Ref.Kind, Name: mail.Printable(d.Ref.Name(), 2*mail.MaxPathOctets)}] = true
	}
	return added
}

// position is where the configuration states an entry; false where it does not.
func (st stated) position(s directory.Subject) (config.Position, bool) {
	switch s.Kind {
	case directory.KindDomain:
		for _, d := range st.cfg.Domains {
			if d.Name.String() == s.Name {
				return st.cfg.At("domain." + s.Name), true
			}
		}
	case directory.KindAlias:
		for _, a := range st.cfg.Aliases {
			if aliasOf(a).Subject() == s {
				return a.At, true
			}
		}
	case directory.KindRoute:
		return st.cfg.At("route." + s.Name), true
	}
	return config.Position{}, false
}

func aliasOf(a config.Alias) directory.Alias {
	return directory.Alias{Address: a.Address, CatchAll: a.CatchAll, Targets: a.Targets, Posting: postingOf(a.From)}
}

// postingOf maps what is not known to what the directory refuses.
func postingOf(a config.Audience) directory.Posting {
	switch a {
	case config.FromAnyone:
		return directory.PostingAnyone
	case config.FromAccounts:
		return directory.PostingAccounts
	case config.FromMembers:
		return directory.PostingMembers
	}
	return directory.PostingUnknown
}

// openRoster reads the roster; buildDirectory puts it to use.
func (n *Node) openRoster(ctx context.Context, _ keys) (err error) {
	n.roster, err = roster.Open(ctx, n.store, roster.Options{Limits: roster.DefaultLimits(), Logger: n.log})
	return err
}

// directoryFault says why the directory does not stand; nil when it does.
func (n *Node) directoryFault() error {
	n.dirs.change.Lock()
	defer n.dirs.change.Unlock()
	return n.dirs.fault
}

// refreshDirectory rebuilds the snapshot from the accounts and the roster as they
// stand, one at a time, so that an older state never replaces a newer one. On an
// error the former snapshot stays.
func (n *Node) refreshDirectory(ctx context.Context) error {
	n.dirs.change.Lock()
	defer n.dirs.change.Unlock()
	addresses, err := accountAddresses(ctx, n.identity)
	if err != nil {
		return err
	}
	n.returnPaths.Learn(addresses)
	s, err := n.dirs.stated.build(n.roster.State(), addresses)
	if err != nil {
		err = fmt.Errorf("the directory does not stand: %w", err)
	}
	n.dirs.fault = err
	if err == nil {
		n.dirs.current.Store(s)
	}
	return err
}

// changed makes a change visible before the operator is answered. While no server
// runs, a directory that is being mended need not stand after each step.
func (n *Node) changed(ctx context.Context) error {
	err := n.refreshDirectory(ctx)
	if n.started.Load() == nil && errors.Is(err, directory.ErrConfig) {
		return nil
	}
	return err
}

// judge says what would be wrong with the directory if the roster were s, and whom it
// would let relay.
func (n *Node) judge(ctx context.Context, s *roster.State) error {
	n.dirs.change.Lock()
	st := n.dirs.stated
	n.dirs.change.Unlock()
	st.standing = n.roster.State()
	addresses, err := accountAddresses(ctx, n.identity)
	if err != nil {
		return err
	}
	_, _, err = st.proven(s, addresses)
	return err
}

// Directory is what a configuration makes of the directory, with the roster and the
// accounts of its data folder.
type Directory struct {
	Config   directory.Config
	Accounts []mail.Address
	Snapshot *directory.Snapshot
	Proof    proof.Report // that it is closed
}

// BuildDirectory builds the directory of a configuration, without running it, and
// proves it closed. What is stored beside it, stored tells; nil: nothing is. The error
// says what does not go together, or who could relay, and how it is mended.
func BuildDirectory(ctx context.Context, cfg config.Config, stored *operate.Client) (Directory, error) {
	st, err := stateOf(cfg)
	if err != nil {
		return Directory{}, err
	}
	var entries []roster.Stored
	var accounts []mail.Address
	if stored != nil {
		err := stored.DirectoryStored(ctx, func(e roster.Stored) error {
			entries = append(entries, e)
			return nil
		})
		if err != nil {
			return Directory{}, err
		}
		err = stored.AccountList(ctx, func(a operate.Account) error {
			address, err := mail.ParseAddress(a.Address, mail.UTF8)
			accounts = append(accounts, address)
			return err
		})
		if err != nil {
			return Directory{}, err
		}
	}
	s, err := roster.Import(entries)
	if err != nil {
		return Directory{}, err
	}
	snapshot, report, err := st.proven(s, accounts)
	if err != nil {
		return Directory{}, err
	}
	whole, _ := st.with(s)
	return Directory{whole, accounts, snapshot, report}, nil
}
