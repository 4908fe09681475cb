package dmarc

import (
	"net/url"
	"strings"
)

// Policy is what a domain asks to be done with mail that fails. The zero Policy is
// none at all: the domain takes no part.
type Policy uint8

const (
	PolicyAbsent Policy = iota
	PolicyNone
	PolicyQuarantine
	PolicyReject
)

// String returns the word of a record.
func (p Policy) String() string {
	switch p {
	case PolicyNone:
		return "none"
	case PolicyQuarantine:
		return "quarantine"
	case PolicyReject:
		return "reject"
	}
	return "absent"
}

// PSD says what a domain is in the tree of public suffixes. The zero value is the
// default, u.
type PSD uint8

const (
	PSDUnknown PSD = iota // u: found out by the tree walk
	PSDYes                // y: a public suffix
	PSDNo                 // n: an organizational domain
)

// Record is a policy record. RFC 9989 §4.7. Only Parse makes one.
type Record struct {
	Text       string // as it stands in the DNS
	Policy     Policy // p, for the domain itself
	Subdomains Policy // sp, for subdomains that exist; PolicyAbsent: as Policy
	Missing    Policy // np, for subdomains that do not exist; PolicyAbsent: as Subdomains
	StrictDKIM bool   // adkim=s
	StrictSPF  bool   // aspf=s
	PSD        PSD
	Testing    bool     // t=y: the policy one level below is to be applied
	Aggregate  []string // rua: URIs, of any scheme, as they stand
	Failure    []string // ruf
	FailureOpt string   // fo
}

// maxURIs bounds the destinations of reports that are read from one record.
const maxURIs = 10

// Parse reads a TXT record. It is false for what is no DMARC record: those do not
// count at all. A record whose policy cannot be read is one of PolicyNone where it
// asks for reports, and of PolicyAbsent where it does not. RFC 9989 §4.10.1.
func Parse(text string) (Record, bool) {
	tags := strings.Split(text, ";")
	name, value, ok := cutTag(tags[0])
	// RFC 9989 §4.7: the version comes first, and is exactly this.
	if !ok || name != "v" || value != "DMARC1" {
		return Record{}, false
	}
	r := Record{Text: text}
	seen := map[string]bool{"v": true}
	var faulty, stated bool
	for _, tag := range tags[1:] {
		name, value, ok := cutTag(tag)
		if !ok || seen[name] {
			continue // RFC 9989 §4.7: what is no tag is ignored
		}
		seen[name] = true
		switch name {
		case "p":
			stated = true
			faulty = !readPolicy(value, &r.Policy) || faulty
		case "sp":
			faulty = !readPolicy(value, &r.Subdomains) || faulty
		case "np":
			faulty = !readPolicy(value, &r.Missing) || faulty
		default:
			r.read(name, value)
		}
	}
	switch {
	case faulty && len(r.Aggregate) == 0:
		r.Policy, r.Subdomains, r.Missing = PolicyAbsent, PolicyAbsent, PolicyAbsent
	case faulty:
		r.Policy, r.Subdomains, r.Missing = PolicyNone, PolicyAbsent, PolicyAbsent
	case !stated:
		r.Policy = PolicyNone
	}
	return r, true
}

// cutTag parts "name = value", with white space around both.
func cutTag(tag string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(tag, "=")
	name, value = strings.Trim(name, " \t"), strings.Trim(value, " \t")
	alpha := strings.IndexFunc(name, func(c rune) bool { return (c|0x20) < 'a' || (c|0x20) > 'z' }) < 0
	return strings.ToLower(name), value, ok && name != "" && alpha && value != ""
}

func readPolicy(value string, p *Policy) bool {
	switch strings.ToLower(value) {
	case "none":
		*p = PolicyNone
	case "quarantine":
		*p = PolicyQuarantine
	case "reject":
		*p = PolicyReject
	default:
		return false
	}
	return true
}

// read takes a tag that has a default; a value that is none of its own leaves it.
func (r *Record) read(name, value string) {
	lower := strings.ToLower(value)
	switch name {
	case "adkim":
		r.StrictDKIM = lower == "s"
	case "aspf":
		r.StrictSPF = lower == "s"
	case "t":
		r.Testing = lower == "y"
	case "psd":
		switch lower {
		case "y":
			r.PSD = PSDYes
		case "n":
			r.PSD = PSDNo
		}
	case "rua":
		r.Aggregate = uris(value)
	case "ruf":
		r.Failure = uris(value)
	case "fo":
		r.FailureOpt = lower
	}
}

// uris reads a list of destinations and drops what is none. A size behind an
// exclamation mark, as RFC 7489 had it, says nothing any more. RFC 9990 §3.5.
func uris(value string) []string {
	var out []string
	for text := range strings.SplitSeq(value, ",") {
		if len(out) == maxURIs {
			break
		}
		text, _, _ = strings.Cut(strings.Trim(text, " \t"), "!")
		if !strings.Contains(text, ":") {
			continue // no URI: it has no scheme
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme == "" || u.Opaque == "" && u.Host == "" {
			continue
		}
		out = append(out, text)
	}
	return out
}
