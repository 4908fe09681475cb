package config

// Forward says whether and how mail is forwarded to addresses that are not ours.
type Forward struct {
	External bool // forwards are carried out; else they sleep
	Targets  int  // the most addresses that one account forwards to
}

func forwardKeys() []entry[Forward] {
	return []entry[Forward]{
		parsed(Key{Path: "forward.external", Type: TypeChoice, Default: "off",
			Doc: `Whether the mail of an account may be forwarded to addresses that are not ours (sallyport forward): "on", or "off", and then no forward can be added, and those that stand sleep: the mail stays in the mailbox.`},
			parseSwitch, func(f *Forward) *bool { return &f.External }),
		count("forward.targets", "5", "1", "100", "The most addresses that one account may forward to.",
			func(f *Forward) *int { return &f.Targets }),
	}
}
