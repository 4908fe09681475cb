package sender

import (
	"strings"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/auth/dmarc"
	"sallyport/internal/message"
	"sallyport/internal/reports/format"
)

// maxReported bounds the signatures of a message that a report tells.
const maxReported = 5

// Record is the observation as a report tells it. RFC 9990 §3.1.1.8.
func (o Observation) Record() format.Record {
	r := format.Record{
		Row: format.Row{Source: o.Peer.Unmap().WithZone("").String(), Count: 1, Evaluated: format.Evaluated{
			Disposition: o.Done.String(), DKIM: passed(o.DMARC.AlignedDKIM), SPF: passed(o.DMARC.AlignedSPF),
		}},
		Identifiers: format.Identifiers{HeaderFrom: o.DMARC.Author.ASCII()},
	}
	e := &r.Row.Evaluated
	if o.DMARC.Verdict == dmarc.Pass && o.Done == dmarc.PolicyNone && o.DMARC.Policy != dmarc.PolicyNone {
		e.Disposition = format.Pass
	}
	switch {
	case o.Override != "":
		e.Reasons = []format.Reason{{Type: o.Override}}
	case o.DMARC.Verdict == dmarc.TempError:
		e.Reasons = []format.Reason{{Type: "other", Comment: "the DNS did not answer"}}
	}
	if from, ok := o.Envelope.Address(); ok {
		r.Identifiers.EnvelopeFrom = from.Domain().ASCII()
	}
	if !o.SPFBy.IsZero() {
		r.Results.SPF = []format.SPF{{Domain: o.SPFBy.ASCII(), Scope: "mfrom", Result: o.SPF.Verdict.String()}}
	}
	// What passed comes first. RFC 9990 §3.1.3.
	for _, want := range []bool{true, false} {
		for _, s := range o.DKIM {
			if s.Passed() == want && !s.Domain().IsZero() && len(r.Results.DKIM) < maxReported {
				r.Results.DKIM = append(r.Results.DKIM, signature(s))
			}
		}
	}
	return r
}

func signature(s dkim.Result) format.DKIM {
	return format.DKIM{Domain: s.Domain().ASCII(), Selector: s.Key.Selector, Result: s.Status.String(), Human: s.Reason}
}

func passed(yes bool) string {
	if yes {
		return format.Pass
	}
	return format.Fail
}

// isReport reports whether a message is a report itself, by the subject that RFC 9990
// §3.5.2 and RFC 8460 §5.3 prescribe. Reports about reports would never end.
func isReport(h message.Header) bool {
	words := strings.Fields(h.Subject())
	return len(words) >= 5 && strings.EqualFold(words[0], "Report") &&
		strings.EqualFold(words[1], "Domain:") && strings.EqualFold(words[3], "Submitter:")
}
