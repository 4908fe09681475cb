// Package format writes and reads the reports that domain owners get about mail in
// their name: DMARC aggregate reports. RFC 9990, and RFC 7489 appendix C, which is
// still what most reports look like.
//
// It promises that what is written is valid by the schema of RFC 9990, whatever a
// stranger's mail brought into it; that a damaged report is read as far as it can be, and
// what is left out of it is counted; that reading is bounded in octets, also of what a
// few of them expand to, in reports and in rows, and takes time in proportion to them; that
// what is read is printable and of a bounded length; and that nothing named in a document
// is fetched or expanded.
package format

import (
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
	"time"

	"sallyport/internal/mail"
)

// Namespace is that of a report. RFC 9990 §3.1.1.
const Namespace = "urn:ietf:params:xml:ns:dmarc-2.0"

// Values that stand in several places of a report.
const (
	Pass = "pass"
	Fail = "fail"
	None = "none"
)

// ErrReport says that there is no report in what was read, or one that breaks a bound.
var ErrReport = errors.New("this is no DMARC report")

// ErrNone is the ErrReport of a message that is sound and bears no report.
var ErrNone = fmt.Errorf("%w: there is none in it", ErrReport)

// Report is what one receiver has to say about one policy domain and one period.
type Report struct {
	Organisation string
	Contact      string // an address
	Extra        string // further contact; "": none
	ID           string
	Begin, End   time.Time
	Policy       Policy
	Records      []Record
}

// Policy is the policy as it was found. The zero words are not written.
type Policy struct {
	Domain    string `xml:"domain" json:"domain"`
	Discovery string `xml:"discovery_method,omitempty" json:"discovery,omitempty"` // "treewalk", "psl"
	P         string `xml:"p" json:"p"`
	SP        string `xml:"sp,omitempty" json:"sp,omitempty"`
	NP        string `xml:"np,omitempty" json:"np,omitempty"`
	FO        string `xml:"fo,omitempty" json:"fo,omitempty"`
	ADKIM     string `xml:"adkim,omitempty" json:"adkim,omitempty"`
	ASPF      string `xml:"aspf,omitempty" json:"aspf,omitempty"`
	Testing   string `xml:"testing,omitempty" json:"testing,omitempty"`
}

// Record is what became of a number of messages that were alike.
type Record struct {
	Row         Row         `xml:"row" json:"row"`
	Identifiers Identifiers `xml:"identifiers" json:"id"`
	Results     Results     `xml:"auth_results" json:"auth"`
}

// Row says from where they came, how many, and what DMARC made of them.
type Row struct {
	Source    string    `xml:"source_ip" json:"ip"`
	Count     int       `xml:"count" json:"n"`
	Evaluated Evaluated `xml:"policy_evaluated" json:"eval"`
}

// Evaluated is the disposition, and whether DKIM and SPF spoke for the author.
type Evaluated struct {
	Disposition string   `xml:"disposition" json:"did"`
	DKIM        string   `xml:"dkim" json:"dkim"`
	SPF         string   `xml:"spf" json:"spf"`
	Reasons     []Reason `xml:"reason" json:"why,omitempty"`
}

// Reason is why the disposition is not the policy's.
type Reason struct {
	Type    string `xml:"type" json:"type"`
	Comment string `xml:"comment,omitempty" json:"comment,omitempty"`
}

// Identifiers are the domains of author and envelope.
type Identifiers struct {
	HeaderFrom   string `xml:"header_from" json:"from"`
	EnvelopeFrom string `xml:"envelope_from" json:"env"` // "": the null path
}

// Results are those of DKIM and SPF by themselves.
type Results struct {
	DKIM []DKIM `xml:"dkim" json:"dkim,omitempty"`
	SPF  []SPF  `xml:"spf" json:"spf,omitempty"`
}

// DKIM is the result of one signature.
type DKIM struct {
	Domain   string `xml:"domain" json:"d"`
	Selector string `xml:"selector" json:"s"`
	Result   string `xml:"result" json:"is"`
	Human    string `xml:"human_result,omitempty" json:"why,omitempty"`
}

// SPF is the result for the envelope sender.
type SPF struct {
	Domain string `xml:"domain" json:"d"`
	Scope  string `xml:"scope,omitempty" json:"scope,omitempty"`
	Result string `xml:"result" json:"is"`
	Human  string `xml:"human_result,omitempty" json:"why,omitempty"`
}

// Aligned reports whether DKIM or SPF spoke for the author, so that DMARC passed.
func (r Record) Aligned() bool {
	return r.Row.Evaluated.DKIM == Pass || r.Row.Evaluated.SPF == Pass
}

// metadata is report_metadata as it stands in the document.
type metadata struct {
	Organisation string    `xml:"org_name"`
	Email        string    `xml:"email"`
	Extra        string    `xml:"extra_contact_info,omitempty"`
	ID           string    `xml:"report_id"`
	Range        dateRange `xml:"date_range"`
	Generator    string    `xml:"generator,omitempty"`
}

type dateRange struct {
	Begin int64 `xml:"begin"`
	End   int64 `xml:"end"`
}

// document has the elements in the order of RFC 9990 §3.1.1.2.
type document struct {
	XMLName  xml.Name `xml:"feedback"`
	Space    string   `xml:"xmlns,attr"`
	Version  string   `xml:"version"`
	Metadata metadata `xml:"report_metadata"`
	Policy   Policy   `xml:"policy_published"`
	Records  []Record `xml:"record"`
}

// maxText bounds every text of a report.
const maxText = 255

// Write returns the report as XML. RFC 9990 §3.1.
func (r Report) Write() ([]byte, error) {
	if len(r.Records) == 0 {
		return nil, fmt.Errorf("%w: it has no records", ErrReport)
	}
	doc := document{
		Space: Namespace, Version: "1.0",
		Metadata: metadata{
			Organisation: text(r.Organisation), Email: text(r.Contact), Extra: text(r.Extra), ID: text(r.ID),
			Range: dateRange{r.Begin.Unix(), r.End.Unix()}, Generator: "sallyport",
		},
		Policy: r.Policy,
	}
	for _, rec := range r.Records {
		doc.Records = append(doc.Records, rec.clean())
	}
	var b bytes.Buffer
	b.WriteString(xml.Header)
	enc := xml.NewEncoder(&b)
	enc.Indent("", " ")
	if err := enc.Encode(doc); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// Compress returns the report as XML in gzip. RFC 9990 §3.5.2.
func (r Report) Compress() ([]byte, error) {
	text, err := r.Write()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(text); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// text makes a text printable and short: reports are strangers' words on a terminal.
func text(s string) string {
	return mail.ShownLine(strings.TrimSpace(s[:min(len(s), 4*maxText)]), maxText)
}

// word is text without the case that some write it in.
func word(s string) string { return strings.ToLower(text(s)) }

// clean returns the record with every text printable and short.
func (r Record) clean() Record {
	out := r
	out.Row.Source = word(r.Row.Source)
	e := &out.Row.Evaluated
	e.Disposition, e.DKIM, e.SPF = word(e.Disposition), word(e.DKIM), word(e.SPF)
	e.Reasons = nil
	for _, why := range r.Row.Evaluated.Reasons[:min(len(r.Row.Evaluated.Reasons), maxReasons)] {
		e.Reasons = append(e.Reasons, Reason{word(why.Type), text(why.Comment)})
	}
	out.Identifiers = Identifiers{word(r.Identifiers.HeaderFrom), word(r.Identifiers.EnvelopeFrom)}
	out.Results = Results{}
	for _, d := range r.Results.DKIM[:min(len(r.Results.DKIM), maxSignatures)] {
		out.Results.DKIM = append(out.Results.DKIM, DKIM{word(d.Domain), text(d.Selector), word(d.Result), text(d.Human)})
	}
	for _, s := range r.Results.SPF[:min(len(r.Results.SPF), maxReasons)] {
		out.Results.SPF = append(out.Results.SPF, SPF{word(s.Domain), word(s.Scope), word(s.Result), text(s.Human)})
	}
	return out
}

// Bounds of one record. RFC 9990 §3.1.3: no more than 100 signatures.
const (
	maxReasons    = 10  // reasons of one record why a policy was overridden, and results of SPF in it
	maxSignatures = 100 // results of DKIM of one record. RFC 9990 §3.1.3: no more than 100
)
