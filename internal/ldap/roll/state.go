package roll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// keptVersion is the version of what is kept of a list.
const keptVersion = 1

// kept is what is kept of the last good list. The accounts themselves are kept by accounts.
type kept struct {
	At         time.Time                 `json:"at"`
	People     int                       `json:"people"`
	Members    map[string]int            `json:"members,omitempty"`    // of each group that counts
	Recipients map[string][]mail.Address `json:"recipients,omitempty"` // by domain
	// NamedBy is the attribute that names entries for good; "": none does, or it was not noted yet.
	NamedBy string `json:"named_by,omitempty"`

	doubtful  []string
	nameless  int
	elsewhere int
}

type stored struct {
	Version int `json:"v"`
	kept
}

// implausible says why a list is not taken for what the directory knows; "": it is. of is what
// was asked for: what the configuration does not take from there any more is missing rightly.
func (k kept) implausible(next kept, of Source) string {
	if len(of.Accounts) > 0 && k.People > 0 && next.People == 0 {
		return fmt.Sprintf("it lists nobody, and listed %d before", k.People)
	}
	for g, members := range k.Members {
		if now, counts := next.Members[g]; counts && members > 0 && now == 0 {
			return fmt.Sprintf("nobody is of the group %s any more, and %d were before; if that is meant, take the group out of the configuration",
				mail.ShownLine(g, mail.TextShown), members)
		}
	}
	for _, d := range of.Recipients {
		if all := k.Recipients[d.ASCII()]; len(all) > 0 && len(next.Recipients[d.ASCII()]) == 0 {
			return fmt.Sprintf("it lists no recipients of %s, and listed %d before", d, len(all))
		}
	}
	return ""
}

// unlike reports whether another attribute names entries for good than did in this list.
func (k kept) unlike(next kept) bool {
	return k.NamedBy != "" && next.NamedBy != "" && !strings.EqualFold(k.NamedBy, next.NamedBy)
}

// Report is how a directory fares.
type Report struct {
	Name       string    `json:"name"`
	People     int       `json:"people"`               // in the last good list
	Recipients int       `json:"recipients,omitempty"` // of servers behind us
	Listed     time.Time `json:"listed,omitzero"`      // when the last good list was fetched; zero: never
	Fault      string    `json:"fault,omitempty"`      // why there is no newer one
	Since      time.Time `json:"since,omitzero"`       // since when
	// Disputed are accounts that come from elsewhere, and that the directory lists too.
	Disputed []string `json:"disputed,omitempty"`
	// Doubtful are addresses of which the directory does not tell whose they are, and why.
	Doubtful  []string `json:"doubtful,omitempty"`
	Nameless  int      `json:"nameless,omitempty"`  // entries without an address of ours
	Elsewhere int      `json:"elsewhere,omitempty"` // parts of the tree that other servers hold
}

// mostNamed is how many addresses a Report names of each kind.
const mostNamed = 20

// state is what is known of a directory, whatever the configuration.
type state struct {
	feigning // how long passwords took

	mu       sync.Mutex
	kept     kept
	fault    string
	since    time.Time
	disputed []mail.Address
}

func keyOf(name string) []byte { return []byte(string(store.SpaceLists) + name) }

// openState reads what is kept of a directory. What cannot be read is as if nothing were kept: the
// next list makes up for it.
func openState(ctx context.Context, st store.Store, name string) (*state, error) {
	s := &state{}
	value, err := st.Get(ctx, keyOf(name))
	if errors.Is(err, store.ErrNotFound) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("reading what is kept of the directory %s: %w", name, err)
	}
	var k stored
	if codec.Decode(value, &k) == nil && codec.Version(k.Version, keptVersion) == nil {
		s.kept = k.kept
	}
	return s, nil
}

// keep stores a good list.
func (s *state) keep(ctx context.Context, st store.Store, name string, next kept) error {
	value, err := json.Marshal(stored{keptVersion, next})
	if err != nil {
		return err
	}
	_, err = st.Apply(ctx, store.Tx{Mutations: []store.Mutation{{Key: keyOf(name), Value: value}}, Bulk: true}, store.Durable)
	if err != nil {
		return fmt.Errorf("keeping the list of the directory %s: %w", name, err)
	}
	return nil
}

func (s *state) last() kept {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept
}

// settled notes how a fetch ended; first: a fault began or ended with it.
func (s *state) settled(err error, next kept, done accounts.Adopted, now time.Time) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if first = s.fault == ""; first {
			s.since = now
		}
		s.fault = mail.ShownLine(err.Error(), mail.FaultShown)
		return first
	}
	first = s.fault != ""
	s.kept, s.fault, s.since, s.disputed = next, "", time.Time{}, done.Disputed
	return first
}

// listed reports whether there ever was a good list.
func (s *state) listed() bool { return !s.last().At.IsZero() }

// recipients returns those of a domain; unlisted: they are not known.
func (s *state) recipients(d mail.Domain) (all []mail.Address, unlisted bool) {
	k := s.last()
	all, known := k.Recipients[d.ASCII()]
	return all, !known
}

func (s *source) report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := Report{Name: s.Name, People: s.kept.People, Listed: s.kept.At, Fault: s.fault, Since: s.since,
		Nameless: s.kept.nameless, Elsewhere: s.kept.elsewhere}
	for _, all := range s.kept.Recipients {
		r.Recipients += len(all)
	}
	for _, a := range s.disputed[:min(len(s.disputed), mostNamed)] {
		r.Disputed = append(r.Disputed, a.String())
	}
	r.Doubtful = append(r.Doubtful, s.kept.doubtful[:min(len(s.kept.doubtful), mostNamed)]...)
	return r
}
