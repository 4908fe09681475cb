package config

import "sallyport/internal/mail"

// DMARCReport says how other domains are told what came here in their name.
type DMARCReport struct {
	Account      mail.Address // who sends the reports; zero: none are sent
	Organisation string       // as it names itself; "": the host name
	Contact      string       // more than the account's address; "": none
	Daily        int          // reports that leave in one day
	Size         int64        // octets of one report, compressed
}

func dmarcReportKeys() []entry[DMARCReport] {
	return []entry[DMARCReport]{
		parsed(Key{Path: "dmarc_report.account", Type: TypeAddress,
			Doc: "An account of ours that answers for DMARC reports (RFC 9990): every day it sends those " +
				"domains that ask for them, from its own address, how much mail in their name came here " +
				"from where, and what became of it. It may be that of tls_policy.report_account. Without it " +
				"nothing is counted and nothing is sent. It needs authentication.check."},
			parseMailbox, func(d *DMARCReport) *mail.Address { return &d.Account }),
		parsed(Key{Path: "dmarc_report.organisation", Type: TypeText, Max: "200",
			Doc: "How the organisation that sends the reports is called in them; without it by the host name."},
			parseNotice, func(d *DMARCReport) *string { return &d.Organisation }),
		parsed(Key{Path: "dmarc_report.contact", Type: TypeText, Max: "200",
			Doc: "A further contact in the reports, such as the address of a web page; the account's address is there always."},
			parseNotice, func(d *DMARCReport) *string { return &d.Contact }),
		count("dmarc_report.daily", "1000", "1", "100000",
			"The most reports that leave in one day; what is beyond is tried for a day and then given "+
				"up.",
			func(d *DMARCReport) *int { return &d.Daily }),
		size("dmarc_report.size", "1MiB", "4KiB", "10MiB",
			"The most octets of one report, compressed; of a larger one the rarest rows are left out.",
			func(d *DMARCReport) *int64 { return &d.Size }),
	}
}

// checkDMARCReport wants an account of ours.
func (s *source) checkDMARCReport(c *Config, root *node) {
	at := root.child("dmarc_report", "account")
	s.checkOurs(c, at, c.DMARCReport.Account)
	if at != nil && !c.DMARCReport.Account.IsZero() && !c.Authentication.Check {
		s.faultAt(at, "there is nothing to report while mail from outside is not checked",
			`remove this key, or authentication.check = "off"`)
	}
}
