package format

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of what is kept of one element below a <feedback>, until it is read.
const (
	maxElements = 2000 // elements below one of a <feedback>, all levels together, that are kept until it is read
	maxNesting  = 16   // levels of elements below one of a <feedback> that are kept
)

// element is one element with what stands in it, unknown ones too: those beyond the
// bounds are passed over.
type element struct {
	name string
	text strings.Builder
	kids []*element
	up   *element
}

// first returns the first element of a name; nil: there is none.
func (e *element) first(name string) *element {
	if e != nil {
		if i := slices.IndexFunc(e.kids, func(k *element) bool { return k.name == name }); i >= 0 {
			return e.kids[i]
		}
	}
	return nil
}

// within is first, or the first of that name further in: where the end of an element was
// lost, what follows stands in it.
func (e *element) within(name string) *element {
	if e == nil {
		return nil
	}
	if k := e.first(name); k != nil {
		return k
	}
	for _, k := range e.kids {
		if found := k.within(name); found != nil {
			return found
		}
	}
	return nil
}

// each calls fn for at most the first most elements of a name.
func (e *element) each(name string, most int, fn func(*element)) {
	if e == nil {
		return
	}
	for _, k := range e.kids {
		if k.name == name && most > 0 {
			fn(k)
			most--
		}
	}
}

// of returns the text of the first element of a name, printable and short.
func (e *element) of(name string) string { return e.first(name).words() }

// anywhere is of for a name that stands once in what is read, wherever that is.
func (e *element) anywhere(name string) string { return e.within(name).words() }

// words is the text of an element, without what is left of its end where the "<" of that was
// lost: "17/report_id>".
func (e *element) words() string {
	if e == nil {
		return ""
	}
	before, _, _ := strings.Cut(text(e.text.String()), "/"+e.name+">")
	return strings.TrimSpace(before)
}

// word is of without the case that some write it in.
func (e *element) word(name string) string { return strings.ToLower(e.of(name)) }

// document reads every <feedback> of a document, wherever it stands: other elements
// around and beside it, as a schema, are passed over.
func (r *reader) document(octets []byte) {
	p := parser{reader: r, scanner: scanner{text: octets}}
	for {
		switch p.next() {
		case eventOpen:
			p.open()
		case eventClose:
			p.close()
		case eventText:
			if p.at != nil && p.at.text.Len() < maxText {
				p.at.text.WriteString(p.plain())
			}
		default:
			p.finish(false)
			return
		}
	}
}

// parser is a document that is being read.
type parser struct {
	*reader
	scanner
	report   *Report // nil: outside of a <feedback>
	rows     int     // that were found in it
	metadata bool    // it was there
	policy   bool    // it was there
	at       *element
	depth    int // of at
	elements int // below the one that is read
	deeper   int // elements open that are passed over
}

// isTop reports whether an element is one of those of a report that are read.
func isTop(name string) bool {
	return name == "record" || name == "report_metadata" || name == "policy_published"
}

func (p *parser) open() {
	switch {
	case p.name == "feedback":
		p.finish(false)
		p.report = &Report{}
	case p.report == nil:
	case isTop(p.name):
		// One that was not ended ends here: none stands in another.
		p.end(true)
		p.at, p.depth, p.elements, p.deeper = &element{name: p.name}, 0, 0, 0
	case p.at == nil:
	case p.elements == maxElements || p.depth == maxNesting || p.deeper > 0:
		p.deeper++
	default:
		e := &element{name: p.name, up: p.at}
		p.at.kids = append(p.at.kids, e)
		p.at = e
		p.depth++
		p.elements++
	}
}

func (p *parser) close() {
	switch {
	case p.name == "feedback":
		p.finish(true)
	case p.at == nil:
	case p.deeper > 0 && !isTop(p.name):
		p.deeper--
	default:
		// What was not ended within ends with it; an end that began nowhere is none.
		e, up := p.at, 0
		for e != nil && e.name != p.name {
			e, up = e.up, up+1
		}
		switch {
		case e == nil:
		case e.up == nil:
			p.end(true)
		default:
			p.at, p.depth = e.up, p.depth-up-1
		}
	}
}

// end reads the element below the <feedback> that is over; whole: it was ended.
func (p *parser) end(whole bool) {
	e := p.at
	if e == nil {
		return
	}
	for e.up != nil {
		e = e.up
	}
	p.at = nil
	switch e.name {
	case "report_metadata":
		p.metadata = true
		p.report.readMetadata(e)
	case "policy_published":
		p.policy = true
		of := func(name string) string { return strings.ToLower(e.anywhere(name)) }
		p.report.Policy = Policy{Domain: of("domain"), Discovery: of("discovery_method"), P: of("p"), SP: of("sp"), NP: of("np"),
			FO: of("fo"), ADKIM: of("adkim"), ASPF: of("aspf"), Testing: of("testing")}
	default:
		p.row(e, whole)
	}
}

// row takes a row, or counts it as left out.
func (p *parser) row(e *element, whole bool) {
	p.rows++
	rec, err := readRecord(e)
	switch {
	case err != nil:
		p.out.Rows++
		p.fault("a row was left out: %v", err)
	case len(p.report.Records) >= p.Rows:
		p.out.Rows++
		p.fault("it has more than %d rows", p.Rows)
	case !whole:
		p.out.Rows++
		p.fault("a row was left out: it breaks off")
	default:
		p.report.Records = append(p.report.Records, rec)
	}
}

// finish takes the report that is over, if it is one; whole: it was ended.
func (p *parser) finish(whole bool) {
	if p.report == nil {
		return
	}
	p.end(false)
	r := *p.report
	p.report = nil
	switch {
	case len(r.Records) == 0 && (!whole || p.rows > 0 || !p.metadata || !p.policy):
		p.fault("a <feedback> has no rows that can be read, or lacks its metadata or policy")
	case len(p.out.Reports) >= p.Reports:
		p.fault("there are more than %d reports in it", p.Reports)
	default:
		if !whole {
			p.fault("a report breaks off after row %d", len(r.Records))
		}
		p.out.Reports = append(p.out.Reports, r)
	}
	p.rows, p.metadata, p.policy = 0, false, false
}

func (r *Report) readMetadata(e *element) {
	r.Organisation, r.Contact, r.Extra, r.ID = e.anywhere("org_name"), e.anywhere("email"), e.anywhere("extra_contact_info"), e.anywhere("report_id")
	r.Begin, r.End = moment(e.anywhere("begin")), moment(e.anywhere("end"))
}

// moment reads seconds since 1970, with a fraction or in thousandths where some write those,
// or a date.
func moment(s string) time.Time {
	whole, fraction, _ := strings.Cut(s, ".")
	if n, err := strconv.ParseInt(whole, 10, 64); err == nil && n >= 0 && strings.Trim(fraction, "0123456789") == "" {
		if n >= maxMoment {
			n /= thousandths
		}
		if n < maxMoment {
			return time.Unix(n, 0).UTC()
		}
	}
	for _, form := range [...]string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.Parse(form, s); err == nil {
			return t.UTC()
		}
	}
	return time.Unix(0, 0).UTC()
}

const (
	maxMoment   = 253402300800 // the year 10000
	thousandths = 1000         // of a second
	maxCount    = 1e12         // of messages in one row, so that no sum overflows
)

// readRecord reads a row. What is not there is empty, but for what a row is about.
func readRecord(e *element) (Record, error) {
	row := e.first("row")
	ip, err := readSource(strings.ToLower(row.anywhere("source_ip")))
	if err != nil {
		return Record{}, err
	}
	count := row.anywhere("count")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 || n > maxCount {
		return Record{}, fmt.Errorf("its count is %q", count)
	}
	eval := row.within("policy_evaluated")
	out := Record{Row: Row{Source: ip.String(), Count: int(n)}}
	out.Row.Evaluated = Evaluated{Disposition: eval.word("disposition"), DKIM: eval.word("dkim"), SPF: eval.word("spf")}
	if out.Row.Evaluated.DKIM == "" && out.Row.Evaluated.SPF == "" {
		return Record{}, errors.New("it does not say what DMARC made of it")
	}
	eval.each("reason", maxReasons, func(k *element) {
		out.Row.Evaluated.Reasons = append(out.Row.Evaluated.Reasons, Reason{Type: k.word("type"), Comment: k.of("comment")})
	})
	ids := e.within("identifiers")
	if ids == nil {
		ids = e.within("identities") // of drafts that are in use
	}
	out.Identifiers = Identifiers{HeaderFrom: ids.word("header_from"), EnvelopeFrom: ids.word("envelope_from")}
	auth := e.within("auth_results")
	auth.each("dkim", maxSignatures, func(k *element) {
		out.Results.DKIM = append(out.Results.DKIM, DKIM{Domain: k.word("domain"), Selector: k.of("selector"), Result: k.word("result"), Human: k.of("human_result")})
	})
	auth.each("spf", maxReasons, func(k *element) {
		out.Results.SPF = append(out.Results.SPF, SPF{Domain: k.word("domain"), Scope: k.word("scope"), Result: k.word("result"), Human: k.of("human_result")})
	})
	return out, nil
}

// readSource reads an address in the forms that reports have it in: in brackets, as an
// address literal, with a length or a zone behind it, with zeros before its numbers.
func readSource(s string) (netip.Addr, error) {
	bare := strings.TrimPrefix(strings.Trim(s, "[] "), "ipv6:")
	bare, _, _ = strings.Cut(bare, "/")
	bare, _, _ = strings.Cut(bare, "%")
	ip, err := netip.ParseAddr(bare)
	if err != nil && !strings.Contains(bare, ":") {
		numbers := strings.Split(bare, ".")
		for i, n := range numbers {
			numbers[i] = strings.TrimLeft(n[:max(0, len(n)-1)], "0") + n[max(0, len(n)-1):]
		}
		ip, err = netip.ParseAddr(strings.Join(numbers, "."))
	}
	if err != nil {
		return ip, fmt.Errorf("its source is %q", s)
	}
	return ip.Unmap(), nil
}
