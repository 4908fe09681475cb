package node

import (
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/operate"
)

// book is the directory as operators change it.
func (n *Node) book() operate.Book {
	return operate.Book{
		Roster: n.roster, Judge: n.judge,
		Stated: func(s directory.Subject) (string, bool) {
			at, ok := n.stated().position(s)
			return at.String(), ok
		},
		Domains: func() []operate.Domain {
			st, out := n.stated(), []operate.Domain{}
			for _, d := range st.cfg.Domains {
				at, _ := st.position(directory.Subject{Kind: directory.KindDomain, Name: d.Name.String()})
				out = append(out, operate.Domain{Name: d.Name.String(), Deliver: d.Deliver.String(), Postmaster: d.Postmaster.String(),
					Origin: operate.OriginConfiguration, Where: at.String()})
			}
			return out
		},
		Aliases:  func() []directory.Alias { return n.stated().base.Aliases },
		External: func() bool { return n.stated().cfg.Forward.External },
		Deliver: func(text string) (string, error) {
			d, err := config.ParseDelivery(text)
			return d.String(), err
		},
	}
}

// stated returns what the configuration states of the directory now.
func (n *Node) stated() stated {
	n.dirs.change.Lock()
	defer n.dirs.change.Unlock()
	return n.dirs.stated
}
