package config

import "sallyport/internal/budget/inflow"

func inflowKeys() []entry[inflow.Limits] {
	const most = "1000000000"
	k := func(path, standard, doc string, at func(*inflow.Limits) *int) entry[inflow.Limits] {
		return count("inflow."+path, standard, "1", most, doc, at)
	}
	o := func(path, standard, doc string, at func(*inflow.Limits) *int64) entry[inflow.Limits] {
		return size("inflow."+path, standard, "1MiB", "100TiB", doc, at)
	}
	return []entry[inflow.Limits]{
		k("network_connections", "1200",
			"Connections that one network (an IPv4 /24 or IPv6 /48) may open on port 25 within any "+
				"minute; further ones get 421. A server with much to say uses one connection for many "+
				"messages. This host itself has no bounds of a network, and neither has whom screen.list "+
				"exempts by network. Of this and of every other bound of [inflow] half may come at once, "+
				"and the rest evenly.",
			func(l *inflow.Limits) *int { return &l.Connections }),
		k("network_recipients", "6000",
			"Recipients that one network may name on port 25 within any minute, whether they exist or "+
				"not; further ones get 450. The largest lists name a thousand in one message.",
			func(l *inflow.Limits) *int { return &l.Recipients }),
		k("network_messages", "20000",
			"Messages that one network may bring on port 25 within any hour, each counted for every "+
				"mailbox that gets it; further recipients get 452. All that a large provider sends to a "+
				"site of some thousand people within an hour comes from a few networks, and is less.",
			func(l *inflow.Limits) *int { return &l.NetworkMessages }),
		o("network_size", "20GiB",
			"Octets of them. At least twice limits.message_size counts, here and in the other two "+
				"sizes, so that the largest message finds room.",
			func(l *inflow.Limits) *int64 { return &l.NetworkOctets }),
		k("share_messages", "1200",
			"Messages that one network may bring into one mailbox within any hour: a flood from one "+
				"place leaves the mailbox open for everybody else.",
			func(l *inflow.Limits) *int { return &l.ShareMessages }),
		o("share_size", "512MiB",
			"Octets that one network, or one account, may bring into one mailbox within any hour: five "+
				"of the largest messages at once.",
			func(l *inflow.Limits) *int64 { return &l.ShareOctets }),
		k("mailbox_messages", "3600",
			"Messages that one mailbox takes within any hour, from wherever they come; further ones get "+
				"452. One each second is more than anybody reads; raise it where a program reads.",
			func(l *inflow.Limits) *int { return &l.MailboxMessages }),
		o("mailbox_size", "2GiB", "Octets that one mailbox takes within any hour.",
			func(l *inflow.Limits) *int64 { return &l.MailboxOctets }),
		k("mailbox_replies", "600",
			"Messages without a sender, which are bounces and automatic replies, that one mailbox takes "+
				"within any hour: twice as many as a person may write to (budget.person_hour). Raise it for "+
				"an account that writes to very many.",
			func(l *inflow.Limits) *int { return &l.Replies }),
	}
}
