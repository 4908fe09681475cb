package trace

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/trace/index"
)

// A bundle has at most so many bodies and octets, so that it fits into one
// transaction, and its index into another.
const (
	maxBundleBodies = 128
	maxBundleOctets = 1 << 20
)

// Networks that share a part of the groups: what one customer of a provider has in IPv6
// (RFC 6177 §2), and as much of IPv4 as screen counts together. One in shareOfGroups of
// all groups is theirs; what more comes from there is summed up in one of theirs, so that
// nobody alone makes the trace lose sight of the others.
const (
	shareBits4    = 20
	shareBits6    = 56
	shareOfGroups = 16
)

// strangers sums up facts about those whom nobody knows, in bounded memory.
type strangers struct {
	mu     sync.Mutex
	groups map[groupKey]*group
	shares map[netip.Prefix]int // groups of each network that shares a part of them
	made   int                  // groups so far: the order of those that began at once
	opened time.Time            // when the first of groups came
	quiet  time.Time            // when groups was last written
	window time.Duration        // how long groups waits, from opened
	wake   chan struct{}
}

type groupKey struct {
	kind    fact.Kind
	account string // of facts of somebody who signed in, too many to stand by themselves
	network netip.Prefix
	rule    string
	door    string
	code    int
	status  mail.Enhanced
}

// keyOf is the group that f belongs to.
func keyOf(f fact.Fact) groupKey {
	return groupKey{
		kind: fact.Kind(fact.Clean(string(f.Kind), fact.MaxWord)), account: fact.Clean(f.Account, fact.MaxAddress), network: index.Stranger(f.Peer), rule: fact.Clean(f.Rule, fact.MaxWord),
		door: fact.Clean(f.Door, fact.MaxWord), code: f.Reply.Code, status: f.Reply.Enhanced,
	}
}

// group sums up the facts of one key.
type group struct {
	key   groupKey
	order int
	first fact.Fact // whose reply stands for all
	until time.Time
	count int

	senders, recipients, peers, conns, hellos, replies, texts, balancers []string
}

func (s *strangers) open() {
	s.groups, s.shares = map[groupKey]*group{}, map[netip.Prefix]int{}
	s.wake = make(chan struct{}, 1)
}

// due returns when the groups are to be written; ok is false when there are none.
func (s *strangers) due() (t time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened.Add(s.window), len(s.groups) > 0
}

// Stranger records a fact about somebody whom nobody knows: a refusal, a failed
// sign-in, a connection that brought no mail. Facts of one kind, rule and reply
// code from one network (a /24 or a /64) at one door become one fact with their
// Count and samples; memory and disk stay bounded whatever strangers do, at the
// price that a flood loses detail. Rule, Door and Reply must come from the program,
// never from a peer.
//
// Stranger does not wait and cannot fail. A query sees the fact at once; the
// store has it after Limits.FlushFirst to FlushLast.
func (l *Log) Stranger(f fact.Fact) {
	f.Account = "" // of whom a stranger names nothing is known
	l.sum(f)
}

// Many records a fact about an account of which there may be too many to stand by
// themselves: of somebody who signed in, or of whoever tries to. They are summed up and kept as those of strangers are, apart for each
// account.
func (l *Log) Many(f fact.Fact) { l.sum(f) }

func (l *Log) sum(f fact.Fact) {
	s := &l.strangers
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.groups) == 0 {
		s.begin(l.o.Now(), *l.bounds())
	}
	s.group(f, l.bounds().Groups).add(f, l.bounds().Samples)
}

// begin opens a window: the first after a quiet time is short, so that a single
// refusal is seen soon; under steady fire each is twice as long as the last.
func (s *strangers) begin(now time.Time, lim Limits) {
	s.opened = now
	if now.Sub(s.quiet) > s.window {
		s.window = lim.FlushFirst
	} else {
		s.window = min(2*s.window, lim.FlushLast)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// shareOf returns the network whose part of the groups a peer uses; it is not valid for
// none.
func shareOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := shareBits6
	if a.Is4() {
		bits = shareBits4
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// group finds the group of f, or makes one. When a network has its part of them, or
// there are too many, one group for each kind takes the rest.
func (s *strangers) group(f fact.Fact, most int) *group {
	key := keyOf(f)
	if g, ok := s.groups[key]; ok {
		return g
	}
	share := shareOf(f.Peer)
	if share.IsValid() && s.shares[share] >= max(1, most/shareOfGroups) {
		key = groupKey{kind: overflowKind(f.Kind), rule: RuleOverflow, network: share}
		if g, ok := s.groups[key]; ok {
			return g
		}
		f = fact.Fact{At: f.At}
	}
	if len(s.groups) >= most {
		key = groupKey{kind: overflowKind(f.Kind), rule: RuleOverflow}
		if g, ok := s.groups[key]; ok {
			return g
		}
		f = fact.Fact{At: f.At}
	}
	s.made++
	g := &group{key: key, order: s.made, first: fact.Fact{
		At: f.At, Kind: key.kind, Rule: key.rule, Network: key.network, Door: key.door, Account: key.account,
		Reply: mail.Reply{Code: f.Reply.Code, Enhanced: f.Reply.Enhanced, Text: fact.CleanLines(f.Reply.Text)},
	}}
	s.groups[key] = g
	if share.IsValid() {
		s.shares[share]++
	}
	return g
}

// overflowKind keeps the number of overflow groups fixed.
func overflowKind(k fact.Kind) fact.Kind {
	switch k {
	case fact.KindDisconnect, fact.KindAuth:
		return k
	}
	return fact.KindRefuse
}

func (g *group) add(f fact.Fact, samples int) {
	g.count += max(f.Count, 1)
	if f.At.Before(g.first.At) {
		g.first.At = f.At
	}
	for _, t := range []time.Time{f.At, f.Until} {
		if t.After(g.until) {
			g.until = t
		}
	}
	if f.Peer.IsValid() && len(g.peers) < samples {
		sample(&g.peers, fact.PlainAddr(f.Peer).String(), fact.MaxName, samples)
	}
	sample(&g.senders, f.Sender, fact.MaxAddress, samples)
	sample(&g.recipients, f.Recipient, fact.MaxAddress, samples)
	for _, r := range f.Recipients {
		sample(&g.recipients, r, fact.MaxAddress, samples)
	}
	sample(&g.conns, f.Conn, fact.MaxName, samples)
	sample(&g.hellos, f.Hello, fact.MaxName, samples)
	sample(&g.replies, replyText(f.Reply), fact.MaxAddress, samples)
	sample(&g.texts, f.Text, fact.MaxAddress, samples)
	if via, ok := f.Find(fact.EvidenceBalancer); ok {
		sample(&g.balancers, via, fact.MaxName, samples)
	}
}

// replyText is a reply as evidence; none for no reply.
func replyText(r mail.Reply) string {
	if r.IsZero() {
		return ""
	}
	return r.String()
}

// sample remembers a text that it does not have yet. The text is copied: it may
// be a small part of a large buffer.
func sample(list *[]string, s string, max, most int) {
	if s == "" || len(*list) >= most {
		return
	}
	if s = fact.Clean(s, max); !slices.Contains(*list, s) {
		*list = append(*list, strings.Clone(s))
	}
}

// absorb takes in another group of the same key.
func (g *group) absorb(o *group, samples int) {
	f := o.fact()
	f.Peer, f.Evidence = netip.Addr{}, nil
	g.add(f, samples)
	for _, p := range []struct{ to, from *[]string }{
		{&g.senders, &o.senders}, {&g.peers, &o.peers}, {&g.conns, &o.conns}, {&g.hellos, &o.hellos},
		{&g.replies, &o.replies}, {&g.texts, &o.texts}, {&g.balancers, &o.balancers},
	} {
		for _, s := range *p.from {
			sample(p.to, s, fact.MaxAddress, samples)
		}
	}
}

// fact is the body that is stored for the group. What was the same in all stands
// in its field; several different ones are evidence.
func (g *group) fact() fact.Fact {
	f := g.first
	f.Count, f.Until = g.count, g.until
	if len(g.recipients) == 1 {
		f.Recipient = g.recipients[0]
	} else {
		f.Recipients = g.recipients
	}
	if len(g.peers) == 1 {
		f.Peer, _ = netip.ParseAddr(g.peers[0])
	} else {
		addEvidence(&f, index.EvidencePeer, g.peers)
	}
	several(&f, &f.Sender, index.EvidenceSender, g.senders)
	several(&f, &f.Conn, index.EvidenceConn, g.conns)
	several(&f, &f.Hello, index.EvidenceHello, g.hellos)
	several(&f, &f.Text, index.EvidenceText, g.texts)
	addEvidence(&f, fact.EvidenceBalancer, g.balancers)
	if len(g.replies) > 1 {
		addEvidence(&f, index.EvidenceReply, g.replies)
	}
	return f
}

// several puts a single value into its field, and more into the evidence.
func several(f *fact.Fact, field *string, name string, values []string) {
	if len(values) == 1 {
		*field = values[0]
		return
	}
	addEvidence(f, name, values)
}

func addEvidence(f *fact.Fact, name string, values []string) {
	for _, v := range values {
		f.Evidence = append(f.Evidence, fact.Pair{Name: name, Value: v})
	}
}

// Flush writes what Stranger has summed up. When the store refuses, it stays in
// memory for the next time.
func (l *Log) Flush(ctx context.Context) error {
	taken := l.strangers.take(l.o.Now())
	for len(taken) > 0 {
		n, err := l.writeBundle(ctx, taken)
		// In doubt, the bundle is ordered and will be written with the next.
		if err != nil && !errors.Is(err, store.ErrInDoubt) {
			l.strangers.giveBack(taken, *l.bounds())
			return err
		}
		taken = taken[n:]
		if err != nil {
			l.strangers.giveBack(taken, *l.bounds())
			return err
		}
	}
	return nil
}

// take empties the memory, oldest group first.
func (s *strangers) take(now time.Time) []*group {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.groups) == 0 {
		return nil
	}
	var list []*group
	for _, g := range s.groups {
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b *group) int {
		return cmp.Or(a.first.At.Compare(b.first.At), cmp.Compare(a.order, b.order))
	})
	s.groups, s.shares = map[groupKey]*group{}, map[netip.Prefix]int{}
	s.quiet = now
	return list
}

func (s *strangers) giveBack(list []*group, lim Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range list {
		switch have, ok := s.groups[g.key]; {
		case ok:
			have.absorb(g, lim.Samples)
		case len(s.groups) < lim.Groups:
			s.groups[g.key] = g
		default:
			f := g.fact()
			s.group(f, lim.Groups).absorb(g, lim.Samples)
		}
	}
}

// writeBundle stores the bodies of the first groups, and the fact that stands
// for them in the tree, in one transaction. It returns how many groups it took.
func (l *Log) writeBundle(ctx context.Context, list []*group) (int, error) {
	now := l.o.Now()
	id, err := mail.NewID(now, l.o.Rand)
	if err != nil {
		return 0, err
	}
	var tx store.Tx
	stub := fact.Refusals{At: now, Bundle: id}
	sum, octets, n := newBundleHash(), 0, 0
	for _, g := range list[:min(len(list), maxBundleBodies)] {
		body := g.fact().Encode()
		if octets += len(body); octets > maxBundleOctets && n > 0 {
			break
		}
		sum.add(uint16(n), body)
		tx.Mutations = append(tx.Mutations, store.Mutation{Key: index.BodyKey(id, uint16(n)), Value: body})
		stub.Count += g.count
		n++
	}
	stub.Digest = sum.digest()
	tx.Facts = fact.EncodeAll(stub.Fact())
	_, err = l.st.Apply(ctx, tx, store.Lazy)
	return n, err
}

// bundleHash is the hash over the bodies of a bundle: SHA-256 of the SHA-256 of
// each with its number.
type bundleHash struct{ parts []byte }

func newBundleHash() *bundleHash { return &bundleHash{} }

func (h *bundleHash) add(part uint16, body []byte) {
	h.parts = binary.BigEndian.AppendUint16(h.parts, part)
	sum := sha256.Sum256(body)
	h.parts = append(h.parts, sum[:]...)
}

func (h *bundleHash) digest() string {
	sum := sha256.Sum256(h.parts)
	return base64.StdEncoding.EncodeToString(sum[:])
}
