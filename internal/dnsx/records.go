package dnsx

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// TLSA is one association of a name with a certificate. RFC 6698 §2.1. What its
// numbers mean is for others to say.
type TLSA struct {
	Usage, Selector, Matching uint8
	Data                      string // the octets of the certificate association
}

// String returns the record as it stands in a zone.
func (r TLSA) String() string {
	return fmt.Sprintf("%d %d %d %s", r.Usage, r.Selector, r.Matching, hex.EncodeToString([]byte(r.Data)))
}

// TXT asks for the texts at a name, each with its strings joined. RFC 7208 §3.3.
func (c *Client) TXT(ctx context.Context, n Name) (Answer[string], error) {
	g, err := c.lookup(ctx, question{n, dns.TypeTXT})
	if err != nil {
		return Answer[string]{}, err
	}
	return Answer[string]{Data: slices.Clone(g.txt), Name: g.name, Secure: g.secure, TTL: g.ttl}, nil
}

// TLSA asks for the certificate associations at a name. RFC 6698.
func (c *Client) TLSA(ctx context.Context, n Name) (Answer[TLSA], error) {
	g, err := c.lookup(ctx, question{n, dns.TypeTLSA})
	if err != nil {
		return Answer[TLSA]{}, err
	}
	return Answer[TLSA]{Data: slices.Clone(g.tlsa), Name: g.name, Secure: g.secure, TTL: g.ttl}, nil
}

// SRV says where a service is. RFC 2782.
type SRV struct {
	Priority, Weight, Port uint16
	Target                 string // with a dot at its end; "." where there is no such service
}

// String returns the record as it stands in a zone.
func (r SRV) String() string {
	return fmt.Sprintf("%d %d %d %s", r.Priority, r.Weight, r.Port, r.Target)
}

func readSRV(rr *dns.SRV) SRV {
	target := "."
	if n := nameFromWire(rr.Target); rr.Target != "." {
		target = n.String() + "."
	}
	return SRV{rr.Priority, rr.Weight, rr.Port, target}
}

// SRV asks where a service is. RFC 2782.
func (c *Client) SRV(ctx context.Context, n Name) (Answer[SRV], error) {
	g, err := c.lookup(ctx, question{n, dns.TypeSRV})
	if err != nil {
		return Answer[SRV]{}, err
	}
	return Answer[SRV]{Data: slices.Clone(g.srv), Name: g.name, Secure: g.secure, TTL: g.ttl}, nil
}

// Pointers asks for the names of an address. RFC 1035 §3.5, RFC 3596 §2.5.
func (c *Client) Pointers(ctx context.Context, ip netip.Addr) (Answer[Name], error) {
	n, err := reverseName(ip)
	if err != nil {
		return Answer[Name]{}, &LookupError{Question: "PTR " + ip.String(), Err: err}
	}
	g, err := c.lookup(ctx, question{n, dns.TypePTR})
	if err != nil {
		return Answer[Name]{}, err
	}
	return Answer[Name]{Data: slices.Clone(g.hosts), Name: g.name, Secure: g.secure, TTL: g.ttl}, nil
}

// reverseName is where the names of an address stand.
func reverseName(ip netip.Addr) (Name, error) {
	if !ip.IsValid() {
		return Name{}, ErrBadName
	}
	text, err := dns.ReverseAddr(ip.Unmap().WithZone("").String())
	if err != nil {
		return Name{}, ErrBadName
	}
	return ParseName(text)
}

// Alias asks whether a name is an alias, without following it.
func (c *Client) Alias(ctx context.Context, n Name) (Answer[Name], error) {
	g, err := c.lookup(ctx, question{n, dns.TypeCNAME})
	if err != nil {
		return Answer[Name]{}, err
	}
	return Answer[Name]{Data: []Name{g.alias}, Name: n, Secure: g.secure, TTL: g.ttl}, nil
}

// readTXT joins the strings of a record. The library holds them as a zone file
// writes them.
func readTXT(rr *dns.TXT) string {
	var b strings.Builder
	for _, s := range rr.Txt {
		unescape(&b, s)
	}
	return b.String()
}

// unescape turns \DDD and \X into the octets that they stand for. RFC 1035 §5.1.
func unescape(b *strings.Builder, s string) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\' || i+1 >= len(s):
			b.WriteByte(s[i])
		case i+3 < len(s) && digit(s[i+1]) && digit(s[i+2]) && digit(s[i+3]):
			b.WriteByte((s[i+1]-'0')*100 + (s[i+2]-'0')*10 + s[i+3] - '0')
			i += 3
		default:
			i++
			b.WriteByte(s[i])
		}
	}
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func readTLSA(rr *dns.TLSA) (TLSA, error) {
	data, err := hex.DecodeString(rr.Certificate)
	if err != nil {
		return TLSA{}, fmt.Errorf("%w: a certificate association without octets", ErrMalformed)
	}
	return TLSA{Usage: rr.Usage, Selector: rr.Selector, Matching: rr.MatchingType, Data: string(data)}, nil
}
