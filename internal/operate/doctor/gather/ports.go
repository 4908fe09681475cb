package gather

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"

	"sallyport/internal/kit/listen"
	"sallyport/internal/mail"
	"sallyport/internal/operate/doctor"
)

// gatherPorts asks at every listener who is there.
func gatherPorts(ctx context.Context, o Options) (all []doctor.PortFacts) {
	for _, l := range o.Listeners {
		if l.At.Port() == 0 {
			continue // any free port: nothing to look at
		}
		p := doctor.PortFacts{Door: l.Door, Address: l.At.String()}
		// To connect there would start the server.
		if p.Held = !o.Server.Running && held("/proc", l.At); p.Held {
			all = append(all, p)
			continue
		}
		greeting, err := o.greetingAt(ctx, "tcp", reachable(l.At).String(), l.TLS)
		switch {
		case err == nil:
			p.Greeting = mail.PlainLine(greeting, o.Limits.Text)
		case o.Server.Running:
			p.Error = err.Error()
		default:
			err := canBind(ctx, l.At)
			if p.Free = err == nil; err != nil {
				p.BindErr, p.Denied = err.Error(), errors.Is(err, fs.ErrPermission)
			}
		}
		all = append(all, p)
	}
	return all
}

// reachable is where this host reaches what listens at an address.
func reachable(at netip.AddrPort) netip.AddrPort {
	switch {
	case !at.Addr().IsUnspecified():
		return at
	case at.Addr().Is4():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), at.Port())
}

// gatherBehind asks the servers that we pass mail on to, each once, who they are.
func gatherBehind(ctx context.Context, o Options) (all []doctor.BehindFacts) {
	for _, hop := range o.Behind {
		if slices.ContainsFunc(all, func(b doctor.BehindFacts) bool { return b.At == hop.At }) {
			continue
		}
		b := doctor.BehindFacts{For: hop.For, At: hop.At}
		greeting, err := o.greetingAt(ctx, hop.Network, hop.At, hop.TLS)
		if b.Greeting = mail.PlainLine(greeting, o.Limits.Text); err != nil {
			b.Error = err.Error()
		}
		all = append(all, b)
	}
	return all
}

// gatherTokens asks who gives tokens for one.
func gatherTokens(ctx context.Context, o Options) (all []doctor.TokenFacts) {
	for _, t := range o.Tokens {
		ctx, cancel := context.WithTimeout(ctx, o.Limits.Look)
		f := doctor.TokenFacts{For: t.For, At: t.At, Tried: t.Tries, Waits: mail.PlainLine(t.Waits, o.Limits.Text)}
		if err := t.Ask(ctx); err != nil {
			f.Error = mail.PlainLine(err.Error(), o.Limits.Text)
		}
		cancel()
		all = append(all, f)
	}
	return all
}

// gatherProvider asks the OpenID provider for its keys.
func gatherProvider(ctx context.Context, o Options) *doctor.ProviderFacts {
	if o.Provider == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, o.Limits.Look)
	defer cancel()
	f := &doctor.ProviderFacts{Issuer: o.Provider}
	if err := o.AskProvider(ctx); err != nil {
		f.Error = mail.PlainLine(err.Error(), o.Limits.Text)
	}
	return f
}

// gatherHelpers asks those who judge the content of mail whether they are there.
func gatherHelpers(ctx context.Context, o Options) (all []doctor.HelperFacts) {
	for _, h := range o.Helpers {
		ctx, cancel := context.WithTimeout(ctx, o.Limits.Look)
		f := doctor.HelperFacts{For: h.For, At: h.At, Defers: h.Defers}
		if err := h.Ask(ctx); err != nil {
			f.Error = mail.PlainLine(err.Error(), o.Limits.Text)
		}
		cancel()
		all = append(all, f)
	}
	return all
}

func (o Options) greetingAt(ctx context.Context, network, at string, implicit bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Limits.Look)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, network, at)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(deadline); err != nil {
			return "", err
		}
	}
	if implicit {
		// Only the name in the greeting is wanted; the certificate is judged as a file.
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	line, err := bufio.NewReader(io.LimitReader(c, int64(o.Limits.Text))).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("it accepts connections, and greets nobody: %w", err)
	}
	_, _ = io.WriteString(c, "QUIT\r\n") // politeness; we leave anyway
	return strings.TrimSpace(line), nil
}

func canBind(ctx context.Context, at netip.AddrPort) error {
	ln, err := listen.TCP(ctx, at)
	if err != nil {
		return err
	}
	return ln.Close()
}
