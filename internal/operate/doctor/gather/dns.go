package gather

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"sallyport/internal/auth/spf"
	"sallyport/internal/dnsx"
	"sallyport/internal/kit/shortage"
	"sallyport/internal/mail"
	"sallyport/internal/operate/doctor"
)

// look asks the DNS.
type look struct {
	dnsx.Resolver
	limits Limits
}

// lookup turns the answer to a question into facts.
func lookup[T any](ctx context.Context, l look, ask func(context.Context) (dnsx.Answer[T], error), text func(T) string) doctor.Lookup {
	ctx, cancel := context.WithTimeout(ctx, l.limits.Look)
	defer cancel()
	a, err := ask(ctx)
	switch {
	case dnsx.Permanent(err):
		return doctor.Lookup{Absent: true}
	case err != nil:
		return doctor.Lookup{Error: err.Error()}
	}
	var found doctor.Lookup
	for _, v := range a.Data {
		found.Values = append(found.Values, text(v))
	}
	return found
}

func (l look) hosts(ctx context.Context, n dnsx.Name) doctor.Lookup {
	return lookup(ctx, l, func(ctx context.Context) (dnsx.Answer[netip.Addr], error) { return l.Addresses(ctx, n) }, netip.Addr.String)
}

func (l look) texts(ctx context.Context, name string) doctor.Lookup {
	n, err := dnsx.ParseName(name)
	if err != nil {
		return doctor.Lookup{Error: err.Error()}
	}
	return lookup(ctx, l, func(ctx context.Context) (dnsx.Answer[string], error) { return l.TXT(ctx, n) }, l.printable)
}

func (l look) gatherDNS(ctx context.Context, o Options, f *doctor.Facts) {
	l.gatherResolver(ctx, &f.Resolver)
	if f.Resolver.Error != "" {
		return // each question would only wait as long again
	}
	f.Host = l.hosts(ctx, dnsx.NameOf(o.Hostname))
	var public []netip.Addr
	for _, text := range f.Host.Values {
		if a, err := netip.ParseAddr(text); err == nil && !a.IsLoopback() && !a.IsPrivate() && !a.IsLinkLocalUnicast() {
			public = append(public, a)
			f.Reverse = append(f.Reverse, l.gatherReverse(ctx, a))
		}
	}
	for _, d := range o.Domains {
		found := l.gatherDomain(ctx, d)
		if !o.Hub {
			found.Senders = l.gatherSenders(ctx, o, found, public)
		}
		f.Domains = append(f.Domains, found)
	}
}

// gatherSenders has the SPF record of a domain judge addresses of ours, as others do.
func (l look) gatherSenders(ctx context.Context, o Options, d doctor.DomainFacts, ours []netip.Addr) (all []doctor.SenderFacts) {
	if !d.OneSPF() {
		return nil // which is told by itself
	}
	for _, a := range ours {
		all = append(all, l.gatherSender(ctx, o, d.Name, a))
	}
	return all
}

func (l look) gatherSender(ctx context.Context, o Options, name string, a netip.Addr) doctor.SenderFacts {
	ctx, cancel := context.WithTimeout(ctx, l.limits.SPF)
	defer cancel()
	host := o.Hostname.ASCII()
	r := spf.Check(ctx, spf.FromDNS(l.Resolver), spf.Query{IP: a, Hello: host, Domain: name, Receiver: host, Now: o.Now}, spf.DefaultLimits())
	f := doctor.SenderFacts{Address: a.String(), Passes: r.Verdict == spf.Pass, Verdict: r.Verdict.String()}
	why := f.Verdict
	if r.Err != nil {
		why = l.printable(r.Err.Error())
	}
	switch r.Verdict {
	case spf.PermError:
		f.Broken = why
	case spf.TempError:
		f.Unknown = why
	}
	return f
}

func (l look) gatherResolver(ctx context.Context, f *doctor.ResolverFacts) {
	// A name that nobody could have registered, RFC 6761 §6.4, and that no cache holds.
	n, err := dnsx.ParseName("sallyport-" + rand.Text()[:16] + ".invalid")
	if err != nil {
		f.Error = err.Error()
		return
	}
	found := l.hosts(ctx, n)
	f.Error, f.Invents, f.Asked = found.Error, found.Values, found.Error == ""
	if found.Error != "" {
		return
	}
	probe, err := dnsx.ParseName(DNSSECProbe)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, l.limits.Look)
	defer cancel()
	if a, err := l.Addresses(ctx, probe); err == nil {
		f.Secure = doctor.Note
		if a.Secure {
			f.Secure = doctor.Fine
		}
	}
}

func (l look) gatherReverse(ctx context.Context, a netip.Addr) doctor.ReverseFacts {
	f := doctor.ReverseFacts{Address: a}
	f.Names = lookup(ctx, l, func(ctx context.Context) (dnsx.Answer[dnsx.Name], error) { return l.Pointers(ctx, a) }, dnsx.Name.String)
	for _, text := range f.Names.Values {
		if n, err := dnsx.ParseName(text); err == nil {
			f.Back = append(f.Back, l.hosts(ctx, n).Values...)
		}
	}
	return f
}

func (l look) gatherDomain(ctx context.Context, d mail.Domain) doctor.DomainFacts {
	name := d.ASCII()
	f := doctor.DomainFacts{Name: name, MXHosts: map[string][]string{}}
	f.MX = lookup(ctx, l, func(ctx context.Context) (dnsx.Answer[dnsx.MX], error) { return l.MX(ctx, dnsx.NameOf(d)) }, func(m dnsx.MX) string {
		if m.Null {
			return "."
		}
		return m.Text
	})
	for i, text := range f.MX.Values {
		if n, err := dnsx.ParseName(text); err == nil {
			f.MX.Values[i] = n.String()
			f.MXHosts[n.String()] = l.hosts(ctx, n).Values
		}
	}
	f.SPF, f.DMARC = l.texts(ctx, name), l.texts(ctx, "_dmarc."+name)
	f.MTASTS, f.TLSRPT = l.texts(ctx, "_mta-sts."+name), l.texts(ctx, "_smtp._tls."+name)
	return f
}

// gatherOutbound tries the first exchanger of a domain.
func (l look) gatherOutbound(ctx context.Context, o Options) *doctor.OutboundFacts {
	f := &doctor.OutboundFacts{To: o.Outbound}
	d, err := mail.ParseDomain(o.Outbound)
	if err != nil {
		f.Error = err.Error()
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, 2*l.limits.Look)
	defer cancel()
	mx, err := l.MX(ctx, dnsx.NameOf(d))
	if err != nil {
		f.Error = err.Error()
		return f
	}
	addrs, err := l.Addresses(ctx, mx.Data[0].Host)
	if err != nil {
		f.Error = err.Error()
		return f
	}
	for _, ip := range addrs.Data {
		f.To = net.JoinHostPort(ip.String(), strconv.Itoa(int(o.Port)))
		// A host without IPv6 delivers by IPv4, and that is what is asked.
		if f.Error, err = l.reach(ctx, o, f.To); !shortage.OfFamily(err, ip) {
			break
		}
	}
	return f
}

// reach connects somewhere, and says in words what is wrong with that; "": nothing. err is why there is no connection.
func (l look) reach(ctx context.Context, o Options, at string) (fault string, err error) {
	c, err := o.Dial(ctx, "tcp", at)
	if err != nil {
		return err.Error(), err
	}
	if err := c.Close(); err != nil {
		return fmt.Sprint("closing: ", err), nil
	}
	return "", nil
}

// printable keeps a terminal from obeying what others say.
func (l look) printable(text string) string { return mail.PlainLine(text, l.limits.Text) }
