package policy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/screen/access"
	"sallyport/internal/screen/dnsbl"
	"sallyport/internal/screen/geo"
)

// The rules of a Judgement, for the trace.
const (
	RuleList      = "screen-list"     // a line of the administrator's list
	RuleScore     = "screen-score"    // lists of others
	RuleUnasked   = "screen-unasked"  // we could not ask
	RuleExempt    = "screen-exempt"   // a line of the administrator's list
	RuleNoFinding = "screen-unlisted" // nothing is known against the visitor
)

// Visitor is who is judged: who asks for a Judgement needs no other room.
type Visitor = access.Visitor

// Verdict is what is to be done. The zero Verdict refuses.
type Verdict uint8

const (
	Refuse Verdict = iota
	Defer
	Take // as far as this package is concerned
)

// String returns the word for people and programs.
func (v Verdict) String() string {
	switch v {
	case Defer:
		return "defer"
	case Take:
		return "take"
	}
	return "refuse"
}

// Judgement is a verdict with what it rests on.
type Judgement struct {
	Verdict Verdict
	Rule    string
	Reply   mail.Reply    // zero for Take
	Wait    time.Duration // before the answer is given
	Line    access.Rule   // that decided; zero: none fits
	Score   int
	Answers []dnsbl.Answer // of every list that was asked
	Names   []string       // that the address proved
	Place   access.Place   // of the address
}

// Words say what the judgement rests on, each in one line; none for nothing.
func (j Judgement) Words() (all []string) {
	if j.Line.Line > 0 {
		all = append(all, fmt.Sprintf("line %d: %s", j.Line.Line, j.Line))
	}
	for _, a := range j.Answers {
		if a.Listed() || a.Fault != "" {
			all = append(all, a.String())
		}
	}
	return all
}

// Resolver is what is needed of the DNS.
type Resolver interface {
	dnsbl.Resolver
	Pointers(ctx context.Context, ip netip.Addr) (dnsx.Answer[dnsx.Name], error)
}

// Options are what a Screen works with. The zero Options screen nobody.
type Options struct {
	List     access.List
	Lists    []dnsbl.List
	RefuseAt int           // the score from which a visitor is refused
	Slow     time.Duration // how long a line that slows lets a recipient wait
	Time     time.Duration // for all questions about one visitor
	Resolver Resolver      // nil only where nothing is asked
	Atlas    *geo.Atlas    // nil: nobody's place is known
	Now      func() time.Time
	// Bare returns a recipient without its detail, zero where it has none; nil: none has.
	Bare func(mail.Address) mail.Address
}

// maxNames bounds the names of an address that are followed back.
const maxNames = 5

// Screen judges visitors. It is safe for concurrent use.
type Screen struct {
	o    Options
	hits *hits
}

// New returns a Screen. It goes on counting what last counted, of lines that both have; last
// may be nil.
func New(o Options, last *Screen) *Screen {
	s := &Screen{o: o, hits: newHits(o.Now())}
	if last != nil {
		s.hits = last.hits
	}
	return s
}

// Options returns what the Screen works with.
func (s *Screen) Options() Options { return s.o }

// Judge judges a visitor and counts what hit. It may ask the DNS, and takes at most
// Options.Time.
func (s *Screen) Judge(ctx context.Context, v Visitor) Judgement {
	j := s.Look(ctx, v)
	if j.Line.Line > 0 {
		s.hits.add(j.Line.String(), s.o.Now())
	}
	for _, a := range j.Answers {
		if a.Listed() {
			s.hits.add(a.Zone, s.o.Now())
		}
	}
	return j
}

// Exempts reports whether the first line about an address, as far as the address alone tells,
// exempts it.
func (s *Screen) Exempts(client netip.Addr) bool {
	line, hit := s.o.List.Match(access.Visitor{Client: client, Place: s.o.Atlas.Lookup(client)})
	return hit && line.Action == access.Exempt
}

// Look is Judge for a person who asks: nothing is counted.
func (s *Screen) Look(ctx context.Context, v Visitor) Judgement {
	if len(s.o.Lists) > 0 || s.o.List.Asks(access.Name) {
		share := dnsx.NewShare(v.Client)
		limited, cancel := context.WithTimeout(share.Context(ctx), s.o.Time)
		defer cancel()
		ctx = limited
	}
	j, found := Judgement{Verdict: Take, Rule: RuleNoFinding}, names{}
	v.Place = s.o.Atlas.Lookup(v.Client)
	j.Place = v.Place
	if s.o.Bare != nil && s.o.List.Asks(access.Recipient) {
		v.Bare = s.o.Bare(v.To)
	}
	if s.o.List.Asks(access.Name) {
		found = s.names(ctx, v.Client)
		v.Names, j.Names = found.proven, found.proven
	}
	line, hit := s.o.List.Match(v)
	if hit {
		j.Line = line
	}
	switch {
	case hit && line.Action == access.Refuse && s.mayBeExempt(found, line):
		return j.unasked()
	case hit && line.Action == access.Refuse:
		return j.no(Refuse, RuleList, mail.R(550, "5.7.1", because("refused by this server's list", line.Reason)))
	case hit && line.Action == access.Defer:
		return j.no(Defer, RuleList, mail.R(450, "4.7.1", because("put off by this server's list; try again later", line.Reason)))
	case hit && line.Action == access.Exempt:
		j.Rule = RuleExempt
		return j
	case hit && line.Action == access.Slow:
		j.Wait, j.Rule = s.o.Slow, RuleList
	case !hit && found.ours:
		return j.unasked()
	}
	if j = s.score(ctx, v, j); j.Verdict == Refuse && s.mayBeExempt(found, line) {
		return j.unasked()
	}
	return j
}

// mayBeExempt reports whether a line before another one exempts names, and it is not known now which the visitor
// has: he is not refused for good then.
func (s *Screen) mayBeExempt(found names, line access.Rule) bool {
	return found.failed && s.o.List.ExemptsBefore(access.Name, line)
}

// unasked puts off whom nothing is known of now.
func (j Judgement) unasked() Judgement {
	return j.no(Defer, RuleUnasked, mail.R(451, "4.7.1", "this server cannot look up your address now; try again later"))
}

// score adds what lists of others say.
func (s *Screen) score(ctx context.Context, v Visitor, j Judgement) Judgement {
	if len(s.o.Lists) == 0 || IsRole(v.To) {
		return j
	}
	of := dnsbl.Visitor{Client: v.Client}
	if a, named := v.From.Address(); named {
		of.Sender = a.Domain()
	}
	if d, err := mail.ParseDomain(v.Hello); err == nil {
		of.Hello = d
	}
	j.Answers = dnsbl.Ask(ctx, s.o.Resolver, s.o.Lists, of)
	var listed []string
	ours, kept := false, 0
	for _, a := range j.Answers {
		j.Score += a.Weight
		ours, kept = ours || a.Ours, kept+a.Kept
		if a.Weight > 0 {
			listed = append(listed, a.About+" is listed by "+a.Zone)
		}
	}
	switch {
	case j.Score >= s.o.RefuseAt && j.Score+kept < s.o.RefuseAt:
		return j.unasked() // a list of the good may speak for him, and could not be asked now
	case j.Score >= s.o.RefuseAt:
		return j.no(Refuse, RuleScore, mail.R(550, "5.7.1", strings.Join(listed, ", ")+"; write to the postmaster here if that is wrong"))
	case ours:
		return j.unasked()
	}
	return j
}

func (j Judgement) no(v Verdict, rule string, r mail.Reply) Judgement {
	j.Verdict, j.Rule, j.Reply = v, rule, r
	return j
}

func because(what, reason string) string {
	if reason == "" {
		return what
	}
	return what + ": " + reason
}

// IsRole reports whether the recipient is a role that must be reachable: RFC 5321 §4.5.1,
// RFC 2142 §4.
func IsRole(a mail.Address) bool {
	local := mail.FoldLocal(a.Local())
	return local == "postmaster" || local == "abuse"
}

// names are what is found of an address's.
type names struct {
	proven []string // its owner claims them, and the name's owner confirms
	failed bool     // there may be more, that could not be asked for now
	ours   bool     // for want of our own means
}

// names returns the names of an address that lead back to it.
func (s *Screen) names(ctx context.Context, ip netip.Addr) names {
	all, err := dnsx.ProvenNames(ctx, s.o.Resolver, ip, maxNames)
	return names{proven: all, failed: temporary(err), ours: ourFault(err)}
}

// temporary reports whether an error, or one of several, says nothing for good.
func temporary(err error) bool {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.ContainsFunc(all.Unwrap(), temporary)
	}
	return err != nil && !dnsx.Permanent(err)
}

func ourFault(err error) bool {
	return errors.Is(err, dnsx.ErrExhausted) || errors.Is(err, dnsx.ErrMute)
}

// Hit is how often a line or a list decided.
type Hit struct {
	Line  int    // 0 for a list of others
	Text  string // the line, or the zone
	Hits  int64
	Last  time.Time // zero: never
	Since time.Time // from when on they were counted
}

// Hits returns every line and list in force, in order, with how often it hit.
func (s *Screen) Hits() (all []Hit) {
	for _, r := range s.o.List.Rules() {
		all = append(all, s.hits.of(r.Line, r.String()))
	}
	for _, l := range s.o.Lists {
		all = append(all, s.hits.of(0, l.Zone.String()))
	}
	return all
}

// hits counts by what the line says, so that it goes on when lines move.
type hits struct {
	since time.Time
	by    sync.Map // text to *hit
}

type hit struct{ n, last atomic.Int64 }

func newHits(now time.Time) *hits { return &hits{since: now} }

func (h *hits) add(text string, now time.Time) {
	v, _ := h.by.LoadOrStore(text, &hit{})
	if of, ok := v.(*hit); ok {
		of.n.Add(1)
		of.last.Store(now.UnixNano())
	}
}

func (h *hits) of(line int, text string) Hit {
	out := Hit{Line: line, Text: text, Since: h.since}
	if v, ok := h.by.Load(text); ok {
		if of, ok := v.(*hit); ok {
			out.Hits, out.Last = of.n.Load(), time.Unix(0, of.last.Load())
		}
	}
	return out
}
