package query

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/trace/index"
)

// ErrNoTerm means that a query names nothing to look for.
var ErrNoTerm = errors.New("trace: nothing to look for")

// Field says what a search term is.
type Field string

const (
	FieldQueue     Field = "queue id"
	FieldMessageID Field = "message-id"
	FieldAddress   Field = "address" // account, sender or recipient
	FieldPeer      Field = "client"  // IP address or network
	FieldConn      Field = "connection"
	FieldRemote    Field = "remote id"   // what a next hop called a message that it took
	FieldEnvelope  Field = "envelope id" // ENVID, which its sender gave a message
	// FieldAll is every fact: for what is found by its kind or rule alone.
	FieldAll Field = "everything"
)

// Term is one thing to look for.
type Term struct {
	Field Field  `json:"field"`
	Text  string `json:"text"`
}

// Query asks for the story of whatever a term finds. ParseQuery makes one.
type Query struct {
	// Terms are tried in order; the first that finds anything is answered.
	Terms []Term `json:"terms"`
	// Kinds and Rules are those of the hits; none: all.
	Kinds []fact.Kind `json:"kinds,omitempty"`
	Rules []string    `json:"rules,omitempty"`
	// From and To bound the time of the hits, half open; zero is no bound.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Before asks for hits that are older than this sequence number: Answer.Older
	// of the page before. Zero begins with the newest.
	Before uint64 `json:"before,omitempty"`
	// OldestFirst turns pages the other way: After asks for hits that are newer than this
	// sequence number, Answer.Newer of the page before.
	OldestFirst bool   `json:"oldest_first,omitempty"`
	After       uint64 `json:"after,omitempty"`
	// Limit is how many entries are wanted; zero, or too many, is Limits.Entries.
	Limit int `json:"limit,omitempty"`
	// Exact leaves out what only shares a message or a session with a hit. What is more
	// than one page is always exact, so that no fact stands on two, and so is what is asked
	// for by kind or rule.
	Exact bool `json:"exact,omitempty"`
}

// paged reports whether the query asks for one of several pages.
func (q Query) paged() bool { return q.Before != 0 || q.After != 0 || q.OldestFirst }

// narrow reports whether anything but the term decides what a hit is.
func (q Query) narrow() bool {
	return !q.From.IsZero() || !q.To.IsZero() || len(q.Kinds) > 0 || len(q.Rules) > 0
}

// Entry is a fact with its place in the log.
type Entry struct {
	Seq  uint64    `json:"seq"`            // sequence number; the record in the tree is Seq-1
	Part int       `json:"part,omitempty"` // 1, 2, …: of a bundle of strangers' facts
	Fact fact.Fact `json:"fact"`

	bundle mail.ID
}

// Answer is what a query found, in the order of the log.
type Answer struct {
	Matched Term    `json:"matched,omitzero"` // the term that was answered
	Entries []Entry `json:"entries"`
	Older   uint64  `json:"older,omitempty"` // Query.Before for the next page; 0: this was all
	Newer   uint64  `json:"newer,omitempty"` // the same for Query.After, where the oldest come first
	// Exact says that the entries are hits alone although that was not asked for, since
	// there are more than a page holds.
	Exact bool `json:"exact,omitempty"`
	// Short means that a message has more facts than its story tells: its queue id, as the
	// query, finds all.
	Short bool `json:"short,omitempty"`
	// Partial means that the term has more index entries than one query reads,
	// in no order of time: a narrower network finds the rest.
	Partial bool `json:"partial,omitempty"`
}

// Facts returns the facts of the entries, in their order.
func (a Answer) Facts() []fact.Fact {
	out := make([]fact.Fact, 0, len(a.Entries))
	for _, e := range a.Entries {
		out = append(out, e.Fact)
	}
	return out
}

// More reports whether there is a further page.
func (a Answer) More() bool { return a.Older != 0 || a.Newer != 0 }

// Query answers from index and log. It reads bounded amounts, newest first unless asked
// otherwise. Where all hits fit into one answer, it adds to each all facts of the same
// message, of notifications about it, and of the session in which it came; otherwise no
// fact stands on two pages. Facts of this very moment are included.
func (r *Reader) Query(ctx context.Context, q Query) (Answer, error) {
	if len(q.Terms) == 0 {
		return Answer{}, ErrNoTerm
	}
	if err := r.o.Log.Flush(ctx); err != nil {
		// What strangers did in the last seconds will be found when the store
		// takes writes again; what is in the log is found now.
		r.o.Logger.WarnContext(ctx, "answering without the newest facts of strangers", "err", err)
	}
	// Who asks for a kind or a rule wants no others.
	q.Exact = q.Exact || len(q.Kinds) > 0 || len(q.Rules) > 0 || q.Terms[0].Field == FieldAll
	if !q.Exact && !q.paged() {
		a, cut, err := r.search(ctx, q)
		if err != nil || !a.More() && !cut {
			return a, err
		}
	}
	without := !q.Exact
	q.Exact = true
	a, _, err := r.search(ctx, q)
	a.Exact = without
	return a, err
}

// search answers one page, and says whether it has more than an answer holds.
func (r *Reader) search(ctx context.Context, q Query) (a Answer, cut bool, err error) {
	s, err := r.newSearch(ctx, q)
	if err != nil {
		return Answer{}, false, err
	}
	for _, t := range q.Terms {
		a, err = s.firstPage(t)
		if err != nil || len(a.Entries) > 0 || a.More() {
			a.Short = s.short
			return a, s.cut, err
		}
	}
	return Answer{}, false, nil
}

// emptyPages is how many pages in which a query's bounds of time leave nothing
// are passed over by themselves.
const emptyPages = 20

func (s *search) firstPage(t Term) (a Answer, err error) {
	before, after := s.q.Before, s.q.After
	defer func() { s.q.Before, s.q.After = before, after }()
	for range emptyPages {
		a, err = s.answer(t)
		if err != nil || len(a.Entries) > 0 || !a.More() {
			break
		}
		if s.past() {
			a.Older = 0
			break
		}
		if s.q.OldestFirst {
			s.q.After = a.Newer
		} else {
			s.q.Before = a.Older
		}
	}
	return a, err
}

// clockSlack is how far the times of facts may stand apart from their order: clocks are
// set, and what is summed up is told later than it began.
const clockSlack = 24 * time.Hour

// past reports whether a page whose newest fact lies before the query's bound of time is
// followed, going back, by nothing within it.
func (s *search) past() bool {
	return !s.q.OldestFirst && !s.q.From.IsZero() && !s.newest.IsZero() && s.newest.Before(s.q.From.Add(-clockSlack))
}

// search is one query at work.
type search struct {
	ctx  context.Context
	from *Reader
	q    Query
	tail tail

	seen    map[index.Place]bool // what found has
	stories map[index.Term]bool
	found   []Entry
	cut     bool      // the stories are more than an answer holds
	short   bool      // one of them is more than is read of it
	newest  time.Time // of the facts that the last page looked at
}

func (r *Reader) newSearch(ctx context.Context, q Query) (*search, error) {
	if q.Limit <= 0 || q.Limit > r.bounds().Entries {
		q.Limit = r.bounds().Entries
	}
	if q.Before == 0 {
		q.Before = ^uint64(0)
	}
	// The tail is read before the index, so that what the sequencer moves from
	// the one to the other meanwhile is seen twice rather than not at all.
	// The log itself has it.
	var t tail
	var err error
	if q.Terms[0].Field != FieldAll {
		t, err = r.readTail(ctx)
	}
	return &search{ctx: ctx, from: r, q: q, tail: t, seen: map[index.Place]bool{}, stories: map[index.Term]bool{}}, err
}

// answer follows the hits of one term, newest first, until the answer is full.
func (s *search) answer(t Term) (Answer, error) {
	m, err := newMatcher(t)
	if err != nil {
		return Answer{}, err
	}
	s.newest = time.Time{}
	list, a, err := s.candidates(m)
	if err != nil {
		return Answer{}, err
	}
	a.Matched = t
	for i, c := range list {
		if len(s.found) >= s.q.Limit && c.Seq != list[i-1].Seq {
			s.turn(&a, list[i-1].Seq)
			break
		}
		if err := s.follow(c, m); err != nil {
			return Answer{}, err
		}
	}
	slices.SortFunc(s.found, func(x, y Entry) int {
		return cmp.Or(cmp.Compare(x.Seq, y.Seq), cmp.Compare(x.Part, y.Part))
	})
	a.Entries = s.found
	return a, nil
}

// turn says where the next page begins, by the last fact that this one looked at.
func (s *search) turn(a *Answer, last uint64) {
	if s.q.OldestFirst {
		a.Newer = last
	} else {
		a.Older = last
	}
}

// order compares sequence numbers as the pages go.
func (s *search) order(x, y uint64) int {
	if s.q.OldestFirst {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(y, x)
}

func (s *search) keep(e Entry) {
	if p := e.place(); !s.seen[p] {
		s.seen[p] = true
		s.found = append(s.found, e)
	}
}

func (e Entry) place() index.Place {
	if e.Part == 0 {
		return index.Place{Seq: e.Seq}
	}
	return index.Place{Seq: e.Seq, Bundle: e.bundle, Part: uint16(e.Part - 1)}
}

// candidate is a fact that a term may find: where it is, and the fact itself if
// it was read already.
type candidate struct {
	index.Place
	tail *tailFact
}

// candidates returns what the term may find, in the order of pages, in an answer that
// says how far it looked.
func (s *search) candidates(m matcher) (list []candidate, a Answer, err error) {
	if m.all {
		return s.everything()
	}
	places, a, err := s.places(m)
	if err != nil {
		return nil, a, err
	}
	known := map[index.Place]bool{}
	for i := range s.tail.facts {
		if t := &s.tail.facts[i]; s.wanted(t.Entry) && m.matches(&t.Fact, t.terms) {
			list = append(list, candidate{t.place(), t})
			known[t.place()] = true
		}
	}
	for _, p := range places {
		if !known[p] {
			list = append(list, candidate{p, nil})
			known[p] = true
		}
	}
	slices.SortStableFunc(list, func(x, y candidate) int { return s.order(x.Seq, y.Seq) })
	// What was not looked at in the index is not told from the tail either.
	if last := a.Older + a.Newer; last != 0 {
		if end := slices.IndexFunc(list, func(c candidate) bool { return s.order(c.Seq, last) > 0 }); end >= 0 {
			list = list[:end]
		}
	}
	return list, a, nil
}

// follow keeps a candidate that the term really finds, with its story. The index
// only narrows down: the fact itself decides.
func (s *search) follow(c candidate, m matcher) error {
	var e Entry
	if c.tail != nil {
		e = c.tail.Entry
	} else {
		read, ok, err := s.load(c.Place)
		if err != nil || !ok {
			return err
		}
		s.saw(read.Fact)
		if !s.wanted(read) || !m.matches(&read.Fact, index.AppendTerms(nil, &read.Fact)) {
			return nil
		}
		e = read
	}
	s.keep(e)
	if s.q.Exact {
		return nil
	}
	return s.story(e.Fact, true)
}

// saw notes how new the facts are that a page looks at.
func (s *search) saw(f fact.Fact) {
	for _, at := range [...]time.Time{f.At, f.Until} {
		if at.After(s.newest) {
			s.newest = at
		}
	}
}

// places reads the index for a term: the first places in the order of pages, and where it
// stopped. Sections that have nothing more to say are not read.
func (s *search) places(m matcher) (places []index.Place, a Answer, err error) {
	sections, err := s.sections(m)
	if err != nil {
		return nil, a, err
	}
	if !s.q.OldestFirst {
		slices.Reverse(sections)
	}
	cut, left := false, s.quota()
	for _, in := range sections {
		for _, r := range m.ranges(in, s.q.After, s.q.Before) {
			more, full, err := s.scan(r, left)
			if err != nil {
				return nil, a, err
			}
			places = append(places, more...)
			cut, a.Partial = cut || full, a.Partial || full && r.wide
		}
		if cut || len(places) > s.most() {
			break
		}
	}
	slices.SortFunc(places, func(x, y index.Place) int {
		return cmp.Or(s.order(x.Seq, y.Seq), s.order(uint64(x.Part), uint64(y.Part)))
	})
	// Parts of one bundle share a number and stay on one page.
	n := min(len(places), s.most())
	for n > 0 && n < len(places) && places[n].Seq == places[n-1].Seq {
		n++
	}
	if places, cut = places[:n], cut || n < len(places); cut && n > 0 {
		s.turn(&a, places[n-1].Seq)
	}
	return places, a, nil
}

// quota is how many index entries one term may read, those of strangers apart: they must
// not stand between a reader and mail.
type quota struct{ facts, strangers int }

func (s *search) quota() *quota {
	n := s.from.bounds().Scanned
	return &quota{facts: n, strangers: n}
}

// take takes one, if there is one left.
func (q *quota) take(strangers bool) bool {
	n := &q.facts
	if strangers {
		n = &q.strangers
	}
	*n--
	return *n >= 0
}

// most is how many hits are of use: each is an entry of the answer at least,
// unless what narrows the query drops it.
func (s *search) most() int {
	if !s.q.narrow() {
		return min(s.q.Limit, s.from.bounds().Hits)
	}
	return s.from.bounds().Hits
}

// wanted applies the bounds of the query.
func (s *search) wanted(e Entry) bool {
	last := e.Fact.At
	if e.Fact.Summed() {
		last = e.Fact.Until
	}
	return e.Seq < s.q.Before && e.Seq > s.q.After &&
		(len(s.q.Kinds) == 0 || slices.Contains(s.q.Kinds, e.Fact.Kind)) &&
		(len(s.q.Rules) == 0 || slices.Contains(s.q.Rules, e.Fact.Rule)) &&
		(s.q.From.IsZero() || !last.Before(s.q.From)) && (s.q.To.IsZero() || e.Fact.At.Before(s.q.To))
}

// scan reads index entries in the order of pages. A network's entries are in the order
// of addresses, so all of them are read, up to a bound.
func (s *search) scan(k keyRange, left *quota) (places []index.Place, cut bool, err error) {
	most := s.most()
	k.Reverse = !s.q.OldestFirst
	err = s.from.st.Scan(s.ctx, k.Range, func(key, value []byte) (bool, error) {
		p, ok := k.in.ParsePlace(key, value, k.strangers)
		n := len(places)
		enough := !k.wide && n >= most && places[n-1].Seq != p.Seq
		if enough || !left.take(k.strangers) {
			cut = true
			return false, nil
		}
		if ok && p.Seq < s.q.Before && p.Seq > s.q.After {
			places = append(places, p)
		}
		return true, nil
	})
	return places, cut, err
}

// load reads one fact. It may be gone: retention removes the index first, but a
// reader may have been faster.
func (s *search) load(p index.Place) (e Entry, ok bool, err error) {
	if p.InBundle() {
		raw, err := s.from.st.Get(s.ctx, index.BodyKey(p.Bundle, p.Part))
		if errors.Is(err, store.ErrNotFound) {
			return Entry{}, false, nil
		}
		if err != nil {
			return Entry{}, false, err
		}
		f, err := fact.Decode(raw)
		return Entry{Seq: p.Seq, Part: int(p.Part) + 1, Fact: f, bundle: p.Bundle}, err == nil, nil
	}
	err = s.from.st.Facts(s.ctx, p.Seq, p.Seq+1, func(seq uint64, raw []byte) (bool, error) {
		f, err := fact.Decode(raw)
		e, ok = Entry{Seq: seq, Fact: f}, err == nil
		return false, nil
	})
	return e, ok, err
}
