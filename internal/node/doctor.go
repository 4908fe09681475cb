package node

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/operate/doctor"
)

// DoctorOptions say how far a doctor looks.
type DoctorOptions struct {
	Options
	// Keys are the keys that sign mail.
	Keys []operate.DKIMKey
	// Outbound is a domain whose mail exchanger's port 25 is tried; "": none.
	Outbound string
	// Domains are those of ours that were added at run time; the configuration's need not
	// be among them.
	Domains []string
	Server  doctor.ServerFacts
	Queue   doctor.QueueFacts
	// Obtained is what there is of a certificate that an authority gives; nil: not known.
	Obtained *operate.Obtained
}

// DoctorTime bounds each look at the network.
const DoctorTime = 5 * time.Second

// DNSSECProbe is a signed name of the root's operators, at which it shows whether the
// resolver validates.
const DNSSECProbe = "iana.org"

// Gather looks at a configuration's surroundings: the DNS, this host, its disk. It
// changes nothing but for a file in the data folder that it syncs and removes, and
// fails for nothing: what it could not find out stands in the facts.
func Gather(ctx context.Context, cfg config.Config, d DoctorOptions) doctor.Facts {
	o := d.complete()
	f := doctor.Facts{
		Now: o.Now(), Hostname: cfg.Hostname.ASCII(), Own: ownAddresses(cfg, o), Server: d.Server, Queue: d.Queue,
		Clock: gatherClock(), Disk: gatherDisk(cfg), Files: gatherFiles(cfg), Limits: gatherLimits(cfg, d.Server.PID),
	}
	var cert *x509.Certificate
	f.TLS, cert = gatherTLS(cfg, d.Obtained, o.Now())
	var looking sync.WaitGroup
	looking.Go(func() { f.Ports = gatherPorts(ctx, cfg, d.Server.Running) })
	looking.Go(func() { f.Behind = gatherBehind(ctx, cfg) })
	resolver, err := newResolver(cfg, o)
	if err != nil {
		f.Resolver.Error = err.Error()
	} else {
		gatherDNS(ctx, cfg, d.Domains, resolver, &f)
		if f.Resolver.Error == "" && cfg.DKIM.Sign {
			f.Others = examineKeys(ctx, resolver, signingDomains(cfg, d.Domains), d.Keys)
		}
		f.TLS.Lacks = lacks(cfg, f.Domains, cert)
		if d.Outbound != "" {
			f.Outbound = gatherOutbound(ctx, d.Outbound, resolver, o)
		}
	}
	looking.Wait()
	f.Others = append(f.Others, examineReturnPath(cfg, f.Now)...)
	return f
}

// lookup turns the answer to a question into facts.
func lookup[T any](ctx context.Context, ask func(context.Context) (dnsx.Answer[T], error), text func(T) string) doctor.Lookup {
	ctx, cancel := context.WithTimeout(ctx, DoctorTime)
	defer cancel()
	a, err := ask(ctx)
	switch {
	case dnsx.Permanent(err):
		return doctor.Lookup{Absent: true}
	case err != nil:
		return doctor.Lookup{Error: err.Error()}
	}
	var l doctor.Lookup
	for _, v := range a.Data {
		l.Values = append(l.Values, text(v))
	}
	return l
}

func hosts(ctx context.Context, r dnsx.Resolver, n dnsx.Name) doctor.Lookup {
	return lookup(ctx, func(ctx context.Context) (dnsx.Answer[netip.Addr], error) { return r.Addresses(ctx, n) }, netip.Addr.String)
}

func texts(ctx context.Context, r dnsx.Resolver, name string) doctor.Lookup {
	n, err := dnsx.ParseName(name)
	if err != nil {
		return doctor.Lookup{Error: err.Error()}
	}
	return lookup(ctx, func(ctx context.Context) (dnsx.Answer[string], error) { return r.TXT(ctx, n) }, printable)
}

func gatherDNS(ctx context.Context, cfg config.Config, more []string, r dnsx.Resolver, f *doctor.Facts) {
	gatherResolver(ctx, r, &f.Resolver)
	if f.Resolver.Error != "" {
		return // each question would only wait as long again
	}
	f.Host = hosts(ctx, r, dnsx.NameOf(cfg.Hostname))
	for _, text := range f.Host.Values {
		if a, err := netip.ParseAddr(text); err == nil && !a.IsLoopback() && !a.IsPrivate() && !a.IsLinkLocalUnicast() {
			f.Reverse = append(f.Reverse, gatherReverse(ctx, r, a))
		}
	}
	for _, d := range ourDomains(cfg, more) {
		f.Domains = append(f.Domains, gatherDomain(ctx, r, d))
	}
}

// ourDomains are those of the configuration, and then others, each once.
func ourDomains(cfg config.Config, more []string) (all []mail.Domain) {
	for _, d := range cfg.Domains {
		all = append(all, d.Name)
	}
	for _, name := range more {
		if d, err := mail.ParseDomain(name); err == nil && !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	return all
}

func gatherResolver(ctx context.Context, r dnsx.Resolver, f *doctor.ResolverFacts) {
	// A name that nobody could have registered, RFC 6761 §6.4, and that no cache holds.
	n, err := dnsx.ParseName("sallyport-" + rand.Text()[:16] + ".invalid")
	if err != nil {
		f.Error = err.Error()
		return
	}
	l := hosts(ctx, r, n)
	f.Error, f.Invents, f.Asked = l.Error, l.Values, l.Error == ""
	if l.Error != "" {
		return
	}
	probe, err := dnsx.ParseName(DNSSECProbe)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, DoctorTime)
	defer cancel()
	if a, err := r.Addresses(ctx, probe); err == nil {
		f.Secure = doctor.Note
		if a.Secure {
			f.Secure = doctor.Fine
		}
	}
}

func gatherReverse(ctx context.Context, r dnsx.Resolver, a netip.Addr) doctor.ReverseFacts {
	f := doctor.ReverseFacts{Address: a}
	f.Names = lookup(ctx, func(ctx context.Context) (dnsx.Answer[dnsx.Name], error) { return r.Pointers(ctx, a) }, dnsx.Name.String)
	for _, text := range f.Names.Values {
		if n, err := dnsx.ParseName(text); err == nil {
			f.Back = append(f.Back, hosts(ctx, r, n).Values...)
		}
	}
	return f
}

func gatherDomain(ctx context.Context, r dnsx.Resolver, d mail.Domain) doctor.DomainFacts {
	name := d.ASCII()
	f := doctor.DomainFacts{Name: name, MXHosts: map[string][]string{}}
	f.MX = lookup(ctx, func(ctx context.Context) (dnsx.Answer[dnsx.MX], error) { return r.MX(ctx, dnsx.NameOf(d)) }, func(m dnsx.MX) string {
		if m.Null {
			return "."
		}
		return m.Text
	})
	for i, text := range f.MX.Values {
		if n, err := dnsx.ParseName(text); err == nil {
			f.MX.Values[i] = n.String()
			f.MXHosts[n.String()] = hosts(ctx, r, n).Values
		}
	}
	f.SPF, f.DMARC = texts(ctx, r, name), texts(ctx, r, "_dmarc."+name)
	f.MTASTS, f.TLSRPT = texts(ctx, r, "_mta-sts."+name), texts(ctx, r, "_smtp._tls."+name)
	return f
}

// gatherOutbound tries the first exchanger of a domain.
func gatherOutbound(ctx context.Context, domain string, r dnsx.Resolver, o Options) *doctor.OutboundFacts {
	f := &doctor.OutboundFacts{To: domain}
	d, err := mail.ParseDomain(domain)
	if err != nil {
		f.Error = err.Error()
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, 2*DoctorTime)
	defer cancel()
	mx, err := r.MX(ctx, dnsx.NameOf(d))
	if err != nil {
		f.Error = err.Error()
		return f
	}
	addrs, err := r.Addresses(ctx, mx.Data[0].Host)
	if err != nil {
		f.Error = err.Error()
		return f
	}
	f.To = net.JoinHostPort(addrs.Data[0].String(), strconv.Itoa(int(o.MXPort)))
	c, err := o.Dial(ctx, "tcp", f.To)
	if err != nil {
		f.Error = err.Error()
		return f
	}
	if err := c.Close(); err != nil {
		f.Error = fmt.Sprint("closing: ", err)
	}
	return f
}

// printable keeps a terminal from obeying what stands in the DNS.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f {
			return '?'
		}
		return r
	}, text[:min(len(text), maxText)])
}

// maxText is how much of a text from the DNS is looked at.
const maxText = 1000
