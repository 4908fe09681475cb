// Package dnssec runs real name servers: nsd serves zones that the test signs, and
// unbound validates them, so that what sallyport takes for secure is what a real
// validator says.
package dnssec

import (
	"crypto"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// zone is a zone in the making.
type zone struct {
	origin  string
	records []dns.RR
}

func newZone(t *testing.T, origin string, records ...string) *zone {
	z := &zone{origin: origin}
	head := []string{origin + " 60 SOA ns." + origin + " root." + origin + " 1 3600 600 86400 60", origin + " 60 NS ns." + origin, "ns." + origin + " 60 A 127.0.0.1"}
	for _, text := range append(head, records...) {
		rr, err := dns.NewRR(text)
		check(t, err)
		z.records = append(z.records, rr)
	}
	return z
}

type rrset struct {
	name string
	kind uint16
}

// sign adds key, NSEC chain and signatures, and returns the key as a trust anchor.
func (z *zone) sign(t *testing.T) string {
	key := &dns.DNSKEY{Hdr: dns.RR_Header{Name: z.origin, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 60}, Flags: 257, Protocol: 3, Algorithm: dns.ECDSAP256SHA256}
	private, err := key.Generate(256)
	check(t, err)
	z.records = append(z.records, key)
	z.chain()
	sets := map[rrset][]dns.RR{}
	for _, rr := range z.records {
		k := rrset{rr.Header().Name, rr.Header().Rrtype}
		sets[k] = append(sets[k], rr)
	}
	for _, set := range sets {
		sig := &dns.RRSIG{
			Hdr:       dns.RR_Header{Ttl: 60},
			Algorithm: key.Algorithm, KeyTag: key.KeyTag(), SignerName: z.origin,
			Inception: uint32(time.Now().Add(-time.Hour).Unix()), Expiration: uint32(time.Now().Add(24 * time.Hour).Unix()),
		}
		check(t, sig.Sign(private.(crypto.Signer), set))
		z.records = append(z.records, sig)
	}
	return key.String()
}

// chain adds the NSEC records. RFC 4034 §4.
func (z *zone) chain() {
	types := map[string][]uint16{}
	for _, rr := range z.records {
		if h := rr.Header(); !slices.Contains(types[h.Name], h.Rrtype) {
			types[h.Name] = append(types[h.Name], h.Rrtype)
		}
	}
	var names []string
	for n := range types {
		names = append(names, n)
	}
	slices.SortFunc(names, canonical)
	for i, n := range names {
		bits := append(types[n], dns.TypeRRSIG, dns.TypeNSEC)
		slices.Sort(bits)
		z.records = append(z.records, &dns.NSEC{
			Hdr:        dns.RR_Header{Name: n, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: 60},
			NextDomain: names[(i+1)%len(names)], TypeBitMap: bits,
		})
	}
}

// canonical orders names as RFC 4034 §6.1 does: by labels from the right.
func canonical(a, b string) int {
	x, y := dns.SplitDomainName(a), dns.SplitDomainName(b)
	slices.Reverse(x)
	slices.Reverse(y)
	return slices.Compare(x, y)
}

func (z *zone) write(t *testing.T, file string) {
	var b strings.Builder
	for _, rr := range z.records {
		fmt.Fprintln(&b, rr)
	}
	check(t, os.WriteFile(file, []byte(b.String()), 0o600))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
