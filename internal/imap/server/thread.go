package server

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"sallyport/internal/message"
	"sallyport/internal/message/structure"
)

const (
	// maxReferences is how many messages one may refer to; the latest count.
	maxReferences = 200
	// maxDepth is how long a line of answers may be. What answers its last begins another.
	maxDepth = 1000
	// maxPlaces is how many places there may be for messages that are referred to and not there,
	// and twice as many as there are messages on top of it. Beyond, the references of a message
	// lead to messages that are there.
	maxPlaces = 10000
)

// node is a message in a thread, or a place for one that is referred to and not there.
type node struct {
	place    int // -1: there is no message
	sent     time.Time
	subject  string
	reply    bool
	parent   *node
	children []*node // and some that went to another parent, until order
	ordered  bool
}

// thread answers THREAD. RFC 5256 §4.
func (s *searching) thread(algorithm string, found []int, uid bool) result {
	var roots []*node
	var err error
	if algorithm == "ORDEREDSUBJECT" {
		roots, err = s.bySubject(found)
	} else {
		roots, err = s.byReferences(found)
	}
	if err != nil {
		return s.f.failed(err)
	}
	b := []byte("* THREAD")
	if len(roots) > 0 {
		b = append(b, ' ')
	}
	for _, r := range roots {
		b = s.appendThread(b, r, uid)
	}
	s.f.Write(append(b, "\r\n"...))
	return ok("threaded")
}

// appendThread writes a thread: a line of answers as long as each has one, then its branches.
// It needs no stack as deep as the thread.
func (s *searching) appendThread(b []byte, root *node, uid bool) []byte {
	type step struct {
		n     *node
		first bool // nothing was written in these parentheses
		end   bool
	}
	todo := []step{{n: root}}
	for len(todo) > 0 {
		t := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if t.end {
			b = append(b, ')')
			continue
		}
		b = append(b, '(')
		todo = append(todo, step{end: true})
		blank := false
		n := t.n
		for {
			if n.place >= 0 {
				if blank {
					b = append(b, ' ')
				}
				b, blank = append(b, s.number(n.place, uid)...), true
			}
			if len(n.children) != 1 {
				break
			}
			n = n.children[0]
		}
		if len(n.children) > 0 && blank {
			b = append(b, ' ')
		}
		for _, c := range slices.Backward(n.children) {
			todo = append(todo, step{n: c})
		}
	}
	return b
}

func (s *searching) number(place int, uid bool) string {
	if uid {
		return decimal(s.f.box.msgs[place].UID)
	}
	return decimal(place + 1)
}

// bySubject: RFC 5256 §3, ORDEREDSUBJECT.
func (s *searching) bySubject(found []int) (roots []*node, err error) {
	var all []*node
	for _, i := range found {
		n, _, err := s.node(i)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	slices.SortStableFunc(all, func(a, b *node) int {
		return cmp.Or(strings.Compare(a.subject, b.subject), a.sent.Compare(b.sent), cmp.Compare(a.place, b.place))
	})
	for _, n := range all {
		if k := len(roots); k > 0 && roots[k-1].subject == n.subject {
			roots[k-1].children = append(roots[k-1].children, n)
			continue
		}
		roots = append(roots, n)
	}
	slices.SortStableFunc(roots, earlier)
	return roots, nil
}

// earlier puts messages in the order in which they were sent.
func earlier(a, b *node) int {
	return cmp.Or(a.sent.Compare(b.sent), cmp.Compare(a.place, b.place))
}

// identity is what a message says of its place in a thread.
type identity struct {
	id         string
	references []string
}

// node reads what a thread needs of a message.
func (s *searching) node(i int) (*node, identity, error) {
	end, err := s.f.user().Turn(s.f.ctx)
	if err != nil {
		return nil, identity{}, err
	}
	defer end()
	c := s.candidate(i)
	defer c.close()
	n := &node{place: i}
	head, err := c.section()
	if lost(err) {
		return n, identity{}, nil
	} else if err != nil {
		return nil, identity{}, err
	}
	sent, known := c.structure.Envelope.Time()
	if !known {
		if sent, err = c.came(); err != nil && !lost(err) {
			return nil, identity{}, err
		}
	}
	n.sent = sent
	n.subject, n.reply = baseSubject(message.DecodeText(c.structure.Envelope.Subject.Value))
	return n, identify(structure.DefaultLimits().Header(head)), nil
}

// identify: RFC 5256 §3, REFERENCES, step 1: In-Reply-To counts where there are no References,
// and its first identity alone.
func identify(fields []structure.HeaderField) (out identity) {
	var reply []string
	for _, f := range fields {
		switch strings.ToLower(f.Name) {
		case "message-id":
			if ids := identities(f.Text); len(ids) > 0 && out.id == "" {
				out.id = ids[0]
			}
		case "references":
			out.references = append(out.references, identities(f.Text)...)
		case "in-reply-to":
			reply = append(reply, identities(f.Text)...)
		}
	}
	if len(out.references) == 0 && len(reply) > 0 {
		out.references = reply[:1]
	}
	if n := len(out.references); n > maxReferences {
		out.references = out.references[n-maxReferences:]
	}
	return out
}

// identities returns what stands between < and >.
func identities(text string) (out []string) {
	for {
		_, after, found := strings.Cut(text, "<")
		id, rest, closed := strings.Cut(after, ">")
		if !found || !closed {
			return out
		}
		if id = strings.Join(strings.Fields(id), ""); id != "" {
			out = append(out, id)
		}
		text = rest
	}
}

// byReferences: RFC 5256 §3, REFERENCES.
func (s *searching) byReferences(found []int) ([]*node, error) {
	l := newLinking(len(found))
	for _, i := range found {
		m, id, err := s.node(i)
		if err != nil {
			return nil, err
		}
		l.add(m, id)
	}
	return gathered(roots(l.all)), nil
}

// linking puts messages below those that they refer to. It takes time and memory that grow with how
// many messages there are, whatever they refer to.
type linking struct {
	byID   map[string]*node
	all    []*node
	places int // how many nodes there may be
}

func newLinking(messages int) *linking {
	return &linking{byID: map[string]*node{}, places: maxPlaces + 3*messages}
}

// at returns the place of a message that is referred to; nil: there is none, and there may be no
// more.
func (l *linking) at(id string) *node {
	n := l.byID[id]
	if n == nil && len(l.all) < l.places {
		n = &node{place: -1}
		l.byID[id] = n
		l.all = append(l.all, n)
	}
	return n
}

// add takes a message and what it refers to.
func (l *linking) add(n *node, id identity) {
	switch known := l.byID[id.id]; {
	case id.id != "" && known != nil && known.place < 0:
		known.place, known.sent, known.subject, known.reply = n.place, n.sent, n.subject, n.reply
		n = known
	case id.id != "" && known == nil:
		l.byID[id.id] = n
		l.all = append(l.all, n)
	default: // without an identity, or with one that another has
		l.all = append(l.all, n)
	}
	var last *node
	for _, ref := range id.references {
		r := l.at(ref)
		if r == nil {
			continue
		}
		if last != nil && r.parent == nil {
			adopt(last, r)
		}
		last = r
	}
	n.parent = nil
	if last != nil {
		adopt(last, n)
	}
}

// adopt makes n, which has no parent, a child of parent, unless it is above it or the line of
// answers is long already.
func adopt(parent, n *node) {
	depth := 0
	for up := parent; up != nil; up = up.parent {
		if depth++; up == n || depth > maxDepth {
			return
		}
	}
	n.parent = parent
	parent.children = append(parent.children, n)
}

// roots returns the tops of all threads, without places that no message has: step 3. Their
// children go to who is above; at the top, only where there is one.
func roots(all []*node) (tops []*node) {
	for _, n := range order(all) {
		var kept []*node
		for _, c := range n.children {
			if c.place < 0 {
				kept = append(kept, c.children...)
			} else {
				kept = append(kept, c)
			}
		}
		n.children = kept
	}
	for _, n := range all {
		switch {
		case n.parent != nil:
		case n.place >= 0 || len(n.children) > 1:
			tops = append(tops, n)
		case len(n.children) == 1:
			tops = append(tops, n.children[0])
		}
	}
	return tops
}

// order returns the nodes so that children come before their parents, each with the children that
// are its own.
func order(all []*node) (out []*node) {
	for _, n := range all {
		if n.parent == nil {
			out = append(out, n)
		}
	}
	for i := 0; i < len(out); i++ {
		n := out[i]
		n.children = slices.DeleteFunc(n.children, func(c *node) bool {
			if c.ordered || c.parent != n {
				return true
			}
			c.ordered = true
			return false
		})
		out = append(out, n.children...)
	}
	slices.Reverse(out)
	return out
}

// gathered joins threads with the same subject, steps 4 to 6, and puts everything in order.
func gathered(tops []*node) []*node {
	for _, t := range tops {
		sortTree(t)
		if t.place < 0 { // its subject and date are those of the first below it
			t.subject, t.sent, t.reply = t.children[0].subject, t.children[0].sent, t.children[0].reply
		}
	}
	slices.SortStableFunc(tops, earlier)
	first := map[string]*node{}
	for _, t := range tops {
		if t.subject == "" {
			continue
		}
		f := first[t.subject]
		if f == nil || t.place < 0 && f.place >= 0 || t.place >= 0 && f.place >= 0 && f.reply && !t.reply {
			first[t.subject] = t
		}
	}
	var out []*node
	joined := map[*node]bool{}
	for _, t := range tops {
		f := first[t.subject]
		if f == nil || f == t {
			continue
		}
		join(f, t)
		joined[t] = true
	}
	for _, t := range tops {
		if !joined[t] {
			sortTree(t)
			out = append(out, t)
		}
	}
	slices.SortStableFunc(out, earlier)
	return out
}

// join puts thread t to thread f, which has the same subject: step 5.
func join(f, t *node) {
	switch {
	case f.place < 0 && t.place < 0:
		f.children = append(f.children, t.children...)
	case f.place < 0:
		f.children = append(f.children, t)
	case t.reply && !f.reply:
		f.children = append(f.children, t)
	default:
		// Neither answers the other: both go below a place that no message has.
		was := *f
		*f = node{place: -1, sent: was.sent, subject: was.subject, children: []*node{&was, t}}
	}
}

// sortTree puts the children of all messages of a thread in order.
func sortTree(t *node) {
	todo := []*node{t}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = append(todo[:len(todo)-1], n.children...)
		slices.SortStableFunc(n.children, earlier)
	}
}
