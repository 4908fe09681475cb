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
	// From and To bound the time of the hits, half open; zero is no bound.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Before asks for hits that are older than this sequence number: Answer.Older
	// of the page before. Zero begins with the newest.
	Before uint64 `json:"before,omitempty"`
	// Limit is how many entries are wanted; zero, or too many, is Limits.Entries.
	Limit int `json:"limit,omitempty"`
	// Exact leaves out what only shares a message or a session with a hit.
	Exact bool `json:"exact,omitempty"`
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

// Query answers from index and log. It reads bounded amounts, newest first, and
// adds to each hit all facts of the same message, of notifications about it, and
// of the session in which it came. Facts of this very moment are included.
func (r *Reader) Query(ctx context.Context, q Query) (Answer, error) {
	if len(q.Terms) == 0 {
		return Answer{}, ErrNoTerm
	}
	if err := r.o.Log.Flush(ctx); err != nil {
		// What strangers did in the last seconds will be found when the store
		// takes writes again; what is in the log is found now.
		r.o.Logger.WarnContext(ctx, "answering without the newest facts of strangers", "err", err)
	}
	s, err := r.newSearch(ctx, q)
	if err != nil {
		return Answer{}, err
	}
	for _, t := range q.Terms {
		a, err := s.firstPage(t)
		if err != nil || len(a.Entries) > 0 || a.Older > 0 {
			return a, err
		}
	}
	return Answer{}, nil
}

// emptyPages is how many pages in which a query's bounds of time leave nothing
// are passed over by themselves.
const emptyPages = 20

func (s *search) firstPage(t Term) (a Answer, err error) {
	begin := s.q.Before
	defer func() { s.q.Before = begin }()
	for range emptyPages {
		a, err = s.answer(t)
		if err != nil || len(a.Entries) > 0 || a.Older == 0 {
			break
		}
		s.q.Before = a.Older
	}
	return a, err
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
	t, err := r.readTail(ctx)
	return &search{ctx: ctx, from: r, q: q, tail: t, seen: map[index.Place]bool{}, stories: map[index.Term]bool{}}, err
}

// answer follows the hits of one term, newest first, until the answer is full.
func (s *search) answer(t Term) (Answer, error) {
	m, err := newMatcher(t)
	if err != nil {
		return Answer{}, err
	}
	list, a, err := s.candidates(m)
	if err != nil {
		return Answer{}, err
	}
	a.Matched = t
	for i, c := range list {
		if len(s.found) >= s.q.Limit && c.Seq != list[i-1].Seq {
			a.Older = list[i-1].Seq
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

// candidates returns what the term may find, newest first, in an answer that
// says how far it looked.
func (s *search) candidates(m matcher) (list []candidate, a Answer, err error) {
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
	slices.SortStableFunc(list, func(x, y candidate) int { return cmp.Compare(y.Seq, x.Seq) })
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

// places reads the index for a term: the newest places, and where it stopped.
func (s *search) places(m matcher) (places []index.Place, a Answer, err error) {
	cut := false
	for _, r := range m.ranges(s.q.Before) {
		more, full, err := s.scan(r)
		if err != nil {
			return nil, a, err
		}
		places = append(places, more...)
		cut, a.Partial = cut || full, a.Partial || full && r.wide
	}
	slices.SortFunc(places, func(x, y index.Place) int {
		return cmp.Or(cmp.Compare(y.Seq, x.Seq), cmp.Compare(y.Part, x.Part))
	})
	// Parts of one bundle share a number and stay on one page.
	n := min(len(places), s.most())
	for n > 0 && n < len(places) && places[n].Seq == places[n-1].Seq {
		n++
	}
	if places, cut = places[:n], cut || n < len(places); cut && n > 0 {
		a.Older = places[n-1].Seq
	}
	return places, a, nil
}

// most is how many hits are of use: each is an entry of the answer at least,
// unless the bounds of time drop it.
func (s *search) most() int {
	if s.q.From.IsZero() && s.q.To.IsZero() {
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
	return e.Seq < s.q.Before &&
		(s.q.From.IsZero() || !last.Before(s.q.From)) && (s.q.To.IsZero() || e.Fact.At.Before(s.q.To))
}

// scan reads index entries, newest first. A network's entries are in the order
// of addresses, so all of them are read, up to a bound.
func (s *search) scan(k keyRange) (places []index.Place, cut bool, err error) {
	scanned, most := 0, s.most()
	rng := store.Range{From: k.from, To: k.to, Reverse: true}
	err = s.from.st.Scan(s.ctx, rng, func(key, value []byte) (bool, error) {
		p, ok := index.ParsePlace(key, value, k.strangers)
		n := len(places)
		enough := !k.wide && n >= most && places[n-1].Seq != p.Seq
		if scanned++; scanned > s.from.bounds().Scanned || enough {
			cut = true
			return false, nil
		}
		if ok && p.Seq < s.q.Before {
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

// story adds everything that shares a message or a session with a fact; further
// follows what is found so once more: from an outcome to its message, from there
// to the session in which it came.
func (s *search) story(f fact.Fact, further bool) error {
	for _, id := range [...]mail.ID{f.Queue, f.About} {
		if !id.IsZero() {
			if err := s.chapter(index.TextTerm(index.Queue, id.String()), further); err != nil {
				return err
			}
		}
	}
	// What stands for several of strangers names sessions only as samples.
	if f.Conn != "" && !f.Summed() {
		return s.chapter(index.TextTerm(index.Session, f.Conn), false)
	}
	return nil
}

// chapter adds the facts of one message, or those of one session that belong to
// no message, once.
func (s *search) chapter(t index.Term, further bool) error {
	if s.stories[t] || len(s.found) >= s.from.bounds().Entries {
		return nil
	}
	s.stories[t] = true
	entries, err := s.chapterEntries(t)
	if err != nil {
		return err
	}
	for _, e := range entries {
		s.keep(e)
		if further {
			if err := s.story(e.Fact, !e.Fact.About.IsZero()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *search) chapterEntries(t index.Term) ([]Entry, error) {
	list := s.tail.find(t)
	prefix := index.AppendPrefix(nil, t, false)
	rng := store.Prefix(prefix)
	rng.Limit = s.from.bounds().Story
	var places []index.Place
	err := s.from.st.Scan(s.ctx, rng, func(key, value []byte) (bool, error) {
		if p, ok := index.ParsePlace(key, value, false); ok && !s.seen[p] {
			places = append(places, p)
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		e, ok, err := s.load(p)
		if err != nil {
			return nil, err
		}
		if ok && slices.Contains(index.AppendTerms(nil, &e.Fact), t) {
			list = append(list, e)
		}
	}
	return list, nil
}

// tail is what the sequencer has not taken yet.
type tail struct {
	facts []tailFact
	index map[index.Term][]int
}

type tailFact struct {
	Entry
	terms []index.Term
}

func (t *tail) add(e Entry) {
	f := tailFact{Entry: e, terms: index.AppendTerms(nil, &e.Fact)}
	for _, term := range f.terms {
		t.index[term] = append(t.index[term], len(t.facts))
	}
	t.facts = append(t.facts, f)
}

// find returns the facts of a term, but none of strangers.
func (t *tail) find(term index.Term) []Entry {
	var list []Entry
	for _, i := range t.index[term] {
		if !t.facts[i].place().InBundle() {
			list = append(list, t.facts[i].Entry)
		}
	}
	return list
}

// readTail reads the facts that are not indexed yet, the newest if there are too
// many, with the bodies of strangers' facts. What does not decode is left to the
// sequencer to report.
func (r *Reader) readTail(ctx context.Context) (tail, error) {
	t := tail{index: map[index.Term][]int{}}
	next, end := r.o.Log.Next(), r.st.FactHead()+1
	if most := uint64(r.bounds().Tail); end > next+most {
		next = end - most
	}
	var stubs []Entry
	err := r.st.Facts(ctx, next, end, func(seq uint64, raw []byte) (bool, error) {
		if f, err := fact.Decode(raw); err == nil {
			e := Entry{Seq: seq, Fact: f}
			t.add(e)
			if f.Kind == fact.KindRefusals {
				stubs = append(stubs, e)
			}
		}
		return true, nil
	})
	if err != nil {
		return t, err
	}
	for _, stub := range stubs {
		err := index.ScanBundle(ctx, r.st, stub.Fact.Bundle, func(part uint16, raw []byte) error {
			if f, err := fact.Decode(raw); err == nil {
				t.add(Entry{Seq: stub.Seq, Part: int(part) + 1, Fact: f, bundle: stub.Fact.Bundle})
			}
			return nil
		})
		if err != nil {
			return t, err
		}
	}
	return t, nil
}
