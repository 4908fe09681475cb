package doctor

import "sallyport/internal/mail"

// checkNetworks tells of networks that sign in as accounts, and do not count.
func checkNetworks(f Facts) (all []Finding) {
	for _, n := range f.Networks {
		add := func(s State, what, remedy string) { all = append(all, Finding{"networks", n.Name, s, what, remedy}) }
		switch {
		case n.Closed:
			add(Wrong, "it is not trusted any more: "+n.Why,
				"find out who came through it (sallyport incident ls --open), have client addresses arrive as they are, and then: sallyport account thaw "+mail.ShellWord(n.Account))
		case n.Why != "":
			add(Warning, "it does not count: "+n.Why, "its devices are refused meanwhile; it counts by itself once that is proven")
		default:
			add(Fine, "its clients are taken for "+n.Account, "")
		}
	}
	return all
}
