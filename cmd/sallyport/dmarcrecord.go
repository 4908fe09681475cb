package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
)

type dmarcRecord struct {
	jsonFlag
	Domain string   `arg:"" help:"The domain."`
	Policy string   `default:"none" enum:"none,quarantine,reject" help:"What others are asked to do with mail that fails: none, quarantine or reject."`
	Rua    string   `placeholder:"ADDRESS" help:"Who gets the reports (default: postmaster of the domain)."`
	Send   []string `placeholder:"IP" help:"Further addresses or networks that send for the domain."`
	Also   []string `placeholder:"DOMAIN" help:"Services that send for the domain, by the name for SPF's include that they state."`
}

// Help says how the records are used.
func (dmarcRecord) Help() string {
	return `Begin with none and read the reports (sallyport dmarc report) for some weeks. When all that is yours
passes, go on to quarantine and then to reject. SPF's -all is only as good as the list before it.

Examples:
  sallyport dmarc record example.org
  sallyport dmarc record example.org --policy reject --rua dmarc@example.org
  sallyport dmarc record example.org --send 203.0.113.0/24 --also spf.newsletters.test`
}

// zoneRecord is one TXT record.
type zoneRecord struct {
	Name string `json:"name"`
	Text string `json:"text"`
	Why  string `json:"why"`
}

// mostOneText is how many octets one string of a TXT record has at most. RFC 1035 §3.3.14.
const mostOneText = 255

// zone is the text as a zone file has it: what is longer than one string is made of several.
func (r zoneRecord) zone() string {
	if len(r.Text) > mostOneText {
		return textRecord(r.Name, r.Text, r.Why).zone()
	}
	return strconv.Quote(r.Text)
}

// mostAlso is how many services an SPF record may name beside mx: all its terms together ask the
// DNS ten times at most, and a record that asks more often fails as a whole. RFC 7208 §4.6.4.
const mostAlso = 9

// Run prints the records.
func (d dmarcRecord) Run(c console) error {
	all, err := d.records()
	if err != nil {
		return err
	}
	for _, r := range all {
		if d.JSON {
			if err := printJSON(c.out, r); err != nil {
				return err
			}
			continue
		}
		c.printf("; %s\n%s. 3600 IN TXT %s\n", r.Why, r.Name, r.zone())
	}
	return nil
}

func (d dmarcRecord) records() ([]zoneRecord, error) {
	domain, err := mail.ParseDomain(d.Domain)
	if err != nil {
		return nil, usageError{err.Error()}
	}
	name := domain.ASCII()
	if d.Rua == "" {
		d.Rua = "postmaster@" + name
	}
	rua, err := mail.ParseAddress(d.Rua, mail.ASCII)
	if err != nil || rua.Domain().IsZero() {
		return nil, usageError{"--rua: write an address as dmarc@" + name}
	}
	if strings.ContainsAny(rua.String(), ",;!%?\"\\ ") {
		return nil, usageError{"--rua: such an address would have to be quoted in the record; use a plainer one"}
	}
	spf, err := d.spf()
	if err != nil {
		return nil, err
	}
	out := []zoneRecord{
		{name, spf, "SPF: the mail exchangers of the domain send for it, and nobody that is not named"},
		{"_dmarc." + name, "v=DMARC1; p=" + d.Policy + "; rua=mailto:" + rua.String(), "DMARC: what others do with mail that neither SPF nor DKIM speaks for, and whom they tell"},
	}
	if to := rua.Domain().ASCII(); to != name && !strings.HasSuffix(to, "."+name) && !strings.HasSuffix(name, "."+to) {
		out = append(out, zoneRecord{name + "._report._dmarc." + to, "v=DMARC1", "in the zone of " + to + ": it takes reports about " + name}) // RFC 9990 §4
	}
	return out, nil
}

func (d dmarcRecord) spf() (string, error) {
	terms := []string{"v=spf1", "mx"}
	for _, text := range d.Send {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, err := netip.ParseAddr(text)
			if err != nil || a.Zone() != "" {
				return "", usageError{"--send: write an address or a network, as 203.0.113.7 or 203.0.113.0/24"}
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		term := "ip4:"
		if p.Addr().Is6() {
			term = "ip6:"
		}
		if p.IsSingleIP() {
			terms = append(terms, term+p.Addr().String())
			continue
		}
		terms = append(terms, term+p.Masked().String())
	}
	if len(d.Also) > mostAlso {
		return "", usageError{fmt.Sprintf("--also: an SPF record that names more than %d services asks the DNS too often, and counts for nothing (RFC 7208); name fewer, or write the networks of some by --send", mostAlso)}
	}
	for _, text := range d.Also {
		// Names for SPF often begin with an underscore: they are no host names.
		n, err := dnsx.ParseName(text)
		if err != nil {
			return "", usageError{"--also: " + err.Error()}
		}
		terms = append(terms, "include:"+n.String())
	}
	return strings.Join(append(terms, "-all"), " "), nil
}
