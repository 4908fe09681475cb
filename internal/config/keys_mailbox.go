package config

// Mailbox says how much mailboxes may hold.
type Mailbox struct {
	Quota Quota // of each mailbox
	Warn  int   // hundredths of it at which the owner is told; 0: never
	// Bounds of what a mail program makes in one mailbox.
	Folders       int
	Keywords      int // different ones in one folder
	Subscriptions int
}

// Quota is the most that is held; 0: what is said elsewhere, and where nothing is, any amount.
type Quota struct {
	Octets   int64
	Messages int
}

// The largest quotas that can be written.
const (
	mostQuota         = "8000TiB"
	mostQuotaMessages = "1000000000"
)

func mailboxKeys() []entry[Mailbox] {
	return []entry[Mailbox]{
		size("mailbox.quota", "0", "0", mostQuota,
			"The most that one mailbox may hold, in octets of its files, with Trash and Junk; 0: any "+
				"amount. domain.NAME.quota and sallyport account set --quota say otherwise for a domain and "+
				"for an account. At RCPT the declared size counts, and what is on its way: beyond it the "+
				"answer is 452 4.2.2, and 552 5.2.2 once the mailbox has been full for three days, or 552 "+
				"5.2.3 for a message that is larger than the whole; a mail program that adds a message gets "+
				"NO [OVERQUOTA]. What was accepted is always delivered. A message whose size was not "+
				"declared may pass the quota, all such messages together by limits.message_size. Mail to "+
				"postmaster and abuse, and letters of the server itself, are taken whatever a mailbox "+
				"holds.",
			func(m *Mailbox) *int64 { return &m.Quota.Octets }),
		count("mailbox.quota_messages", "0", "0", mostQuotaMessages, "The most messages that one mailbox may hold; 0: any number.",
			func(m *Mailbox) *int { return &m.Quota.Messages }),
		count("mailbox.quota_warn", "90", "0", "100",
			"At how many hundredths of its quota the owner of a mailbox gets a letter, once; again only "+
				"after it had come ten hundredths below that. 0: never. Of quota_total of a domain the "+
				"postmaster is told.",
			func(m *Mailbox) *int { return &m.Warn }),
		count("mailbox.folders", "2000", "1", "100000",
			"Folders that one account may make in its mailbox. What is there beyond it, made by another "+
				"program, stays.",
			func(m *Mailbox) *int { return &m.Folders }),
		count("mailbox.keywords", "1000", "1", "100000", "Different keywords (labels) that the messages of one folder may bear.",
			func(m *Mailbox) *int { return &m.Keywords }),
		count("mailbox.subscriptions", "5000", "1", "100000", "Folders that one account may subscribe to.",
			func(m *Mailbox) *int { return &m.Subscriptions }),
	}
}

func domainQuotaKeys() []entry[Domain] {
	return []entry[Domain]{
		size("domain.NAME.quota", "0", "0", mostQuota,
			"The most that each mailbox of the domain may hold, instead of mailbox.quota; 0: that.",
			func(d *Domain) *int64 { return &d.Quota.Octets }),
		count("domain.NAME.quota_messages", "0", "0", mostQuotaMessages,
			"The most messages that each mailbox of the domain may hold, instead of "+
				"mailbox.quota_messages; 0: that.",
			func(d *Domain) *int { return &d.Quota.Messages }),
		size("domain.NAME.quota_total", "0", "0", mostQuota,
			"The most that all mailboxes of the domain may hold together, whatever each may; 0: any "+
				"amount.",
			func(d *Domain) *int64 { return &d.QuotaTotal.Octets }),
		count("domain.NAME.quota_total_messages", "0", "0", mostQuotaMessages, "The most messages in all mailboxes of the domain together; 0: any number.",
			func(d *Domain) *int { return &d.QuotaTotal.Messages }),
	}
}
