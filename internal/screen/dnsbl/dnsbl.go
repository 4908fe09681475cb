package dnsbl

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
)

// Subject is what a list knows about. The zero Subject is nothing, and is never asked.
type Subject uint8

const (
	NoSubject Subject = iota
	Client            // the client's address
	Sender            // the domain of the envelope sender
	Hello             // the name of EHLO or HELO
	Names             // both: the sender's domain, and the name of EHLO or HELO
)

// String returns the word of the configuration.
func (s Subject) String() string {
	switch s {
	case Client:
		return "client"
	case Sender:
		return "sender"
	case Hello:
		return "hello"
	case Names:
		return "names"
	}
	return "nothing"
}

// List is a list that others keep.
type List struct {
	Zone    mail.Domain
	Of      Subject
	Weight  int            // what an entry adds to a visitor's score; negative for a list of the good
	Answers []netip.Prefix // which answers are entries; none: all of 127.0.0.0/8
}

// Resolver is what is needed of the DNS.
type Resolver interface {
	OneFamily(ctx context.Context, host dnsx.Name, f dnsx.Family) (dnsx.Answer[netip.Addr], error)
}

// Visitor is who is looked up. What is zero is not asked about.
type Visitor struct {
	Client netip.Addr
	Sender mail.Domain
	Hello  mail.Domain
}

// Answer is what one list said.
type Answer struct {
	Zone   string
	About  string // the address or name that was asked about
	Weight int    // that counts; 0 where it is not listed
	Codes  []netip.Addr
	// Fault says why its answer counts for nothing; "": it counts, or says "not listed".
	Fault string
	// Ours: it was not asked for want of our own means, and nothing may be concluded.
	Ours bool
	// Kept is the weight that a list of the good would have, which could not be asked now: what it may have taken off.
	Kept int
}

// Listed reports whether the answer is an entry that counts.
func (a Answer) Listed() bool { return a.Weight != 0 }

// String returns the answer in words.
func (a Answer) String() string {
	codes := make([]string, len(a.Codes))
	for i, c := range a.Codes {
		codes[i] = c.String()
	}
	switch {
	case a.Fault != "":
		return a.Zone + " says nothing of " + a.About + ": " + a.Fault
	case !a.Listed():
		return a.Zone + " does not list " + a.About
	}
	return fmt.Sprintf("%s lists %s (%s), weight %d", a.Zone, a.About, strings.Join(codes, " "), a.Weight)
}

// Ask asks all lists at once, and returns an answer of each that knows about something of
// the visitor, in their order; two of one that knows about both of its names, where these differ. ctx bounds the whole.
func Ask(ctx context.Context, r Resolver, lists []List, v Visitor) []Answer {
	lists = questions(lists, v)
	answers := make([]Answer, len(lists))
	var all sync.WaitGroup
	for i, l := range lists {
		name, about := l.question(v)
		if about == "" {
			continue
		}
		all.Go(func() { answers[i] = l.entry(ctx, r, name, about) })
	}
	all.Wait()
	return slices.DeleteFunc(answers, func(a Answer) bool { return a.Zone == "" })
}

// questions are the lists with one subject each.
func questions(lists []List, v Visitor) []List {
	var all []List
	for _, l := range lists {
		if l.Of != Names {
			all = append(all, l)
			continue
		}
		l.Of = Sender
		all = append(all, l)
		if l.Of = Hello; v.Hello != v.Sender {
			all = append(all, l)
		}
	}
	return all
}

// Test asks a list for the two entries that tell whether it works: RFC 5782 §5 wants
// 127.0.0.2 listed and 127.0.0.1 not, or for a list of IPv6 addresses ::FFFF:7F00:2 and
// ::FFFF:7F00:1, and of a list of names TEST listed and INVALID not. A list of addresses
// may be of one family alone: it works where it works for one, and lists everybody where it
// lists everybody of one.
func (l List) Test(ctx context.Context, r Resolver) (listed, unlisted Answer) {
	names := [][2]string{{"test", "test"}, {"invalid", "invalid"}}
	if l.Of == Client {
		names = nil
		for _, about := range []string{"127.0.0.2", "127.0.0.1", "::ffff:7f00:2", "::ffff:7f00:1"} {
			names = append(names, [2]string{reversed(netip.MustParseAddr(about)), about})
		}
	}
	out := make([]Answer, len(names))
	var all sync.WaitGroup
	for i, n := range names {
		name, err := dnsx.NameOf(l.Zone).Below(n[0])
		if err != nil {
			out[i] = Answer{Zone: l.Zone.String(), About: n[1], Fault: err.Error()}
			continue
		}
		all.Go(func() { out[i] = l.ask(ctx, r, name, n[1]) })
	}
	all.Wait()
	if listed, unlisted = out[0], out[1]; l.Of != Client {
		return listed, unlisted
	}
	switch six := out[2]; {
	case listed.Fault != "" || listed.Listed(): // of IPv4, or broken
	case six.Fault == "" && !six.Listed():
		listed.About += " or " + six.About
	default:
		listed, unlisted = six, out[3]
	}
	switch {
	case len(out[1].Codes) > 0:
		unlisted = out[1]
	case out[3].Listed():
		unlisted = out[3]
	}
	return listed, unlisted
}

// question is the name to ask for, and what it is about; "" where there is nothing to ask.
func (l List) question(v Visitor) (name dnsx.Name, about string) {
	head := ""
	switch l.Of {
	case Client:
		if ip := v.Client.Unmap().WithZone(""); public(ip) {
			head, about = reversed(ip), ip.String()
		}
	case Sender:
		head, about = v.Sender.ASCII(), v.Sender.ASCII()
	case Hello:
		head, about = v.Hello.ASCII(), v.Hello.ASCII()
	}
	if head == "" {
		return dnsx.Name{}, ""
	}
	name, err := dnsx.NameOf(l.Zone).Below(head)
	if err != nil {
		return dnsx.Name{}, "" // too long: no list has such an entry
	}
	return name, about
}

// public reports whether an address means the same to a list as to us.
func public(ip netip.Addr) bool {
	return ip.IsValid() && ip.IsGlobalUnicast() && !ip.IsPrivate()
}

// reversed returns an address as lists have it: RFC 5782 §2.1, §2.4.
func reversed(ip netip.Addr) string {
	var parts []string
	if ip.Is4() {
		for _, b := range ip.As4() {
			parts = append(parts, strconv.Itoa(int(b)))
		}
	} else {
		octets := ip.As16()
		parts = strings.Split(hex.EncodeToString(octets[:]), "")
	}
	slices.Reverse(parts)
	return strings.Join(parts, ".")
}

// entry asks for one entry, and where there is one also for what no list may hold (RFC 5782 §5): lists that are
// given up often list everybody.
func (l List) entry(ctx context.Context, r Resolver, name dnsx.Name, about string) Answer {
	a := l.ask(ctx, r, name, about)
	if !a.Listed() {
		return a
	}
	never, head := "invalid", "invalid"
	if l.Of == Client {
		never = "127.0.0.1"
		if strings.Contains(about, ":") {
			never = "::ffff:7f00:1"
		}
		head = reversed(netip.MustParseAddr(never))
	}
	if of, err := dnsx.NameOf(l.Zone).Below(head); err == nil && l.ask(ctx, r, of, never).Listed() {
		a.Weight, a.Fault = 0, "it lists everybody: "+never+" stands in it, which no list may hold"
	}
	return a
}

// ask asks for one entry. RFC 5782 §2.1: an entry is an A record.
func (l List) ask(ctx context.Context, r Resolver, name dnsx.Name, about string) Answer {
	a := Answer{Zone: l.Zone.String(), About: about}
	found, err := r.OneFamily(ctx, name, dnsx.IPv4)
	switch {
	case err == nil:
	case dnsx.Permanent(err):
		return a
	default:
		a.Fault = "it could not be asked: " + mail.Printable(err.Error(), mail.TextShown)
		a.Ours, a.Kept = errors.Is(err, dnsx.ErrExhausted) || errors.Is(err, dnsx.ErrMute), min(l.Weight, 0)
		return a
	}
	for _, code := range found.Data {
		if f := l.fault(code); f != "" && a.Fault == "" {
			a.Fault = f
		}
	}
	a.Codes = slices.SortedFunc(slices.Values(found.Data), netip.Addr.Compare)
	if a.Fault == "" && slices.ContainsFunc(a.Codes, l.counts) {
		a.Weight = l.Weight
	}
	return a
}

// loopback and refusals are what answers may be, and what lists say about the question
// itself.
func loopback() netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8) }
func refusals() netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 255, 255}), 24) }

// blocked reports whether a code is one that lists never have for an entry: by 127.0.0.1 they refuse (URIBL,
// SURBL), and whoever filters the DNS puts it in their place; by one that ends in 255 they refuse (DNSWL: 127.0.0.255),
// or say that the question was none (Spamhaus DBL and ZRD: 127.0.1.255, 127.0.2.255).
func blocked(code netip.Addr) bool {
	if !code.Is4() {
		return false
	}
	octets := code.As4()
	return code == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || octets[0] == 127 && octets[1] == 0 && octets[3] == 255
}

// Answers reports whether a list could ever answer something in p for an entry.
func Answers(p netip.Prefix) bool {
	return p.Overlaps(loopback()) && (p.Bits() < refusals().Bits() || !p.Overlaps(refusals()))
}

// fault says why a code is no answer about anybody.
func (l List) fault(code netip.Addr) string {
	switch {
	case refusals().Contains(code):
		return code.String() + " is an error of the list: it is asked too often, or by a name server that it does not serve"
	case blocked(code) && l.counts(code) && !l.names(code):
		return code.String() + " is no entry: lists say so to a name server that they do not serve, or of a question that they do not answer; who means it lists it in dnsbl." + l.Zone.String() + ".answers"
	case !loopback().Contains(code):
		return code.String() + " is no answer of a list: somebody answers for names that do not exist"
	}
	return ""
}

// names reports whether the administrator named a code, and not all of a list's in one network.
func (l List) names(code netip.Addr) bool {
	return slices.ContainsFunc(l.Answers, func(p netip.Prefix) bool { return p.Contains(code) && p.Bits() > refusals().Bits() })
}

// counts reports whether a code is an entry.
func (l List) counts(code netip.Addr) bool {
	return len(l.Answers) == 0 || slices.ContainsFunc(l.Answers, func(p netip.Prefix) bool { return p.Contains(code) })
}
