package config

import "time"

// Forward says whether and how mail is forwarded to addresses that are not ours.
type Forward struct {
	External bool // forwards are carried out; else they sleep
	Targets  int  // the most addresses that one account forwards to
	// ReturnAge is how long bounces of what was forwarded are taken.
	ReturnAge time.Duration
}

func forwardKeys() []entry[Forward] {
	return []entry[Forward]{
		parsed(Key{Path: "forward.external", Type: TypeChoice, Default: "off",
			Doc: `Whether the mail of an account may be forwarded to addresses that are not ours (sallyport ` +
				`forward): "on", or "off", and then no forward can be added, and those that stand sleep: ` +
				`the mail stays in the mailbox.`},
			parseSwitch, func(f *Forward) *bool { return &f.External }),
		count("forward.targets", "5", "1", "100", "The most addresses that one account may forward to.",
			func(f *Forward) *int { return &f.Targets }),
		duration("forward.return_age", "10d", "1d", "60d",
			"How long after a message was forwarded its bounce is still taken, in whole days, for the "+
				"mailbox of the account that forwards: a next hop tries for five days, and its bounce may "+
				"take as long.",
			func(f *Forward) *time.Duration { return &f.ReturnAge }),
	}
}
