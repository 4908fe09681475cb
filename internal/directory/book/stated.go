package book

import (
	"errors"
	"fmt"

	"sallyport/internal/directory"
	"sallyport/internal/directory/proof"
	"sallyport/internal/directory/roster"
	"sallyport/internal/mail"
)

// Stated is what the configuration states of the directory. It is not changed any more.
type Stated struct {
	Config directory.Config
	// Ways says in the words of the configuration how each of its domains is delivered.
	Ways map[mail.Domain]string
	// Where says where the configuration states an entry, as "file:line:column"; false
	// where it does not.
	Where func(directory.Subject) (string, bool)
	// Domain makes a domain that a command added, of its way of delivery in the words of
	// the configuration, and Way writes such words as the configuration has them.
	Domain func(name mail.Domain, way string) (directory.Domain, error)
	Way    func(text string) (string, error)
	// List gives a domain the recipients that a directory elsewhere lists; nil: none does.
	List func(directory.Domain) directory.Domain

	further []directory.Alias // that directories elsewhere give to the accounts of now
}

// Judged is a directory that stands and is closed.
type Judged struct {
	Config   directory.Config // with the entries of the roster
	Accounts []mail.Address
	Snapshot *directory.Snapshot
	Proof    proof.Report
}

// Judge makes the directory of what is stated, the entries and the accounts, and proves
// it closed. The error says what does not go together, or who could relay (promise 1), and
// how it is mended: a directory.Faults, unless the directory cannot be made at all.
func (st Stated) Judge(s *roster.State, accounts []mail.Address) (Judged, error) {
	return st.judge(s, s, accounts)
}

// judge is Judge for entries that would replace those that stand: what these lack was not
// added yet.
func (st Stated) judge(s, standing *roster.State, accounts []mail.Address) (Judged, error) {
	snapshot, err := st.make(s, standing, accounts)
	if err != nil {
		return Judged{}, err
	}
	cfg, _, _ := st.whole(s, accounts) // as make has it
	r := proof.Prove(proof.Of(cfg, snapshot, accounts))
	if r.Closed() {
		return Judged{cfg, accounts, snapshot, r}, nil
	}
	f := directory.Fault{Text: "nothing could be tried, so that nothing is proven"}
	if r.Witness != nil {
		f.Text = "this is open: " + r.Witness.String()
		if r.Witness.Cause.Name != "" {
			f.About = []directory.Subject{r.Witness.Cause}
		}
	}
	return Judged{}, st.explained(directory.Faults{f}, standing)
}

// make makes the directory of the configuration, the roster and the accounts, and
// checks the whole of it. The faults say where each entry stands, and how to be rid
// of it.
func (st Stated) make(s, standing *roster.State, accounts []mail.Address) (*directory.Snapshot, error) {
	cfg, _, faults := st.whole(s, accounts)
	snapshot, err := directory.NewSnapshot(cfg, accounts)
	if err == nil {
		err = snapshot.Check()
	}
	var found directory.Faults
	if err != nil && !errors.As(err, &found) {
		return nil, err
	}
	if faults = append(faults, found...); len(faults) > 0 {
		return nil, st.explained(faults, standing)
	}
	return snapshot, nil
}

// whole is with, and what directories elsewhere say of our domains and accounts; refused are
// the addresses that they may not give.
func (st Stated) whole(s *roster.State, accounts []mail.Address) (cfg directory.Config, refused []directory.Alias, faults directory.Faults) {
	cfg, faults = st.with(s)
	if st.List != nil {
		for i, d := range cfg.Domains {
			cfg.Domains[i] = st.List(d)
		}
	}
	kept, refused := directory.Further(cfg, accounts, st.further)
	cfg.Aliases = append(cfg.Aliases, kept...)
	return cfg, refused, faults
}

// with adds the entries of the roster to those of the configuration. What cannot be
// read, and a domain whose way of delivery this release does not know, is a fault.
func (st Stated) with(s *roster.State) (directory.Config, directory.Faults) {
	cfg := st.Config
	// The slices are shared with others who add.
	cfg.Aliases = append([]directory.Alias(nil), cfg.Aliases...)
	cfg.Forwards = append([]directory.Forward(nil), cfg.Forwards...)
	cfg.Delegates = append([]directory.Delegate(nil), cfg.Delegates...)
	cfg.Contacts = append([]directory.Contact(nil), cfg.Contacts...)
	domains, faults := st.domains(s)
	cfg.Domains = domains
	for _, a := range s.Aliases() {
		cfg.Aliases = append(cfg.Aliases, a.Alias)
	}
	for _, f := range s.Forwards() {
		cfg.Forwards = append(cfg.Forwards, f.Forward)
	}
	for _, d := range s.Delegates() {
		cfg.Delegates = append(cfg.Delegates, d.Delegate)
	}
	for _, c := range s.Contacts() {
		cfg.Contacts = append(cfg.Contacts, c.Contact)
	}
	for _, d := range s.Damaged() {
		name := damagedName(d)
		faults = append(faults, directory.Fault{About: []directory.Subject{{Kind: d.Ref.Kind, Name: name}},
			Text: fmt.Sprintf("the stored %s %s cannot be read: %s", d.Ref.Kind, name, d.Why)})
	}
	return cfg, faults
}

// domains are those of the configuration and those of the roster.
func (st Stated) domains(s *roster.State) (all []directory.Domain, faults directory.Faults) {
	all = append(all, st.Config.Domains...)
	for _, d := range s.Domains() {
		known, err := st.Domain(d.Name, d.Deliver)
		if err != nil {
			faults = append(faults, directory.Fault{About: []directory.Subject{{Kind: directory.KindDomain, Name: d.Name.String()}},
				Text: "the domain " + d.Name.String() + " has no way of delivery: " + err.Error()})
			continue
		}
		known.Postmaster = d.Postmaster
		all = append(all, known)
	}
	return all, faults
}

// damagedName is the name of an entry that cannot be read, as a person may see it.
func damagedName(d roster.Damaged) string { return mail.Printable(d.Ref.Name(), 2*mail.MaxPathOctets) }

// explained adds to each fault where the entries stand that it is about.
func (st Stated) explained(faults directory.Faults, standing *roster.State) error {
	added := subjects(standing)
	out := make(directory.Faults, len(faults))
	for i, f := range faults {
		out[i] = f
		for _, about := range f.About {
			if at, ok := st.Where(about); ok {
				out[i].Text += fmt.Sprintf("; the %s %s is stated in %s", about.Kind, about.Name, at)
			}
			if about.Kind == directory.KindContact {
				out[i].Text += "; the contact is removed with: sallyport account set " + about.Name + " --notify none"
				continue
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

// subjects names what the roster holds.
func subjects(s *roster.State) map[directory.Subject]bool {
	all := map[directory.Subject]bool{}
	for _, d := range s.Domains() {
		all[directory.Subject{Kind: directory.KindDomain, Name: d.Name.String()}] = true
	}
	for _, a := range s.Aliases() {
		all[a.Subject()] = true
	}
	for _, f := range s.Forwards() {
		all[f.Subject()] = true
	}
	for _, d := range s.Delegates() {
		all[d.Subject()] = true
	}
	for _, d := range s.Damaged() {
		all[directory.Subject{Kind: d.Ref.Kind, Name: damagedName(d)}] = true
	}
	return all
}
