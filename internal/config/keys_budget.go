package config

import "sallyport/internal/budget"

// Budget says how many recipients may be written to, by whom.
type Budget struct {
	Person  budget.Limits // an account of the role person
	Bulk    budget.Limits // an account of the role bulk
	Forward budget.Limits // each forward of an account, to each of its targets
}

// The largest limit of recipients in the configuration: it bounds no honest sender.
const mostRecipients = "10000000"

func budgetKeys() []entry[Budget] {
	k := func(path, standard, doc string, at func(*Budget) *int) entry[Budget] {
		return count("budget."+path, standard, "1", mostRecipients, doc, at)
	}
	return []entry[Budget]{
		k("person_hour", "300",
			"Recipients that an account of the role person may write to within any hour, over all "+
				"doors, at home and outside, each mailbox behind an alias being one. Beyond it the answer "+
				"is 451. Of 672 people of a research institute in 150 days the busiest wrote to 143 within "+
				"an hour, and one in a hundred ever to more than 45.",
			func(b *Budget) *int { return &b.Person.Hour }),
		k("person_day", "1000",
			"The same within any day. The busiest of those people wrote to 238 within a day, and one in "+
				"a hundred ever to more than 65.",
			func(b *Budget) *int { return &b.Person.Day }),
		k("bulk_hour", "10000",
			"Recipients that an account of the role bulk may write to within any hour: a newsletter of "+
				"that size leaves at once, and a stolen password of a shop reaches no more.",
			func(b *Budget) *int { return &b.Bulk.Hour }),
		k("bulk_day", "50000", "The same within any day.",
			func(b *Budget) *int { return &b.Bulk.Day }),
		k("forward_hour", "200",
			"Messages that a forward may send to one target within any hour. What is more waits in the "+
				"queue, and never counts against the account: a flood into the mailbox becomes none at the "+
				"target's provider, who would block this server for it.",
			func(b *Budget) *int { return &b.Forward.Hour }),
		k("forward_day", "2000", "The same within any day.",
			func(b *Budget) *int { return &b.Forward.Day }),
	}
}
